package acceptance

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// churns is about a team that makes and deletes requests without end, and another one of
// the same account.
func churns(s *story) {
	t := s.T
	const most, rounds = 60, 4
	each := 25
	if testing.Short() {
		each = 16
	}
	account := hub().get(t, natsAccounts, "baleen-system", "commerce")
	spec, _ := account.Object["spec"].(map[string]any)
	spec["policy"].(map[string]any)["maxFormer"] = int64(most)
	crowded := &unstructured.Unstructured{Object: map[string]any{"apiVersion": account.GetAPIVersion(), "kind": account.GetKind(), "spec": spec}}
	crowded.SetName("crowded")
	text, err := crowded.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	hub().kubectl(t, string(text), "-n", "baleen-system", "apply", "--server-side", "-f", "-")
	becomes(t, natsAccounts, "baleen-system", "crowded", "True/Verified")
	of := func(namespace, name string) string {
		return strings.Replace(natsUser(namespace, name), "{name: commerce}", "{name: crowded}", 1)
	}
	hub().apply(t, of("team-a", "bystander"))
	other := &credential{namespace: "team-a", name: "bystander", last: map[string][]byte{}, versions: map[string]string{}}
	other.arrives(t)
	became := map[string]int{}
	for range rounds {
		var documents []string
		for i := range each {
			documents = append(documents, of("team-b", fmt.Sprint("churn", i)))
		}
		hub().apply(t, strings.Join(documents, "---\n"))
		here := map[string]int{}
		within(t, 15*time.Minute, func() error {
			clear(here)
			for _, user := range hub().list(t, natsUsers, "team-b") {
				if is, _ := condition(&user, "Ready"); strings.HasPrefix(user.GetName(), "churn") && (is == "True/Delivered" || is == "False/TooManyCredentials") {
					here[is]++
				}
			}
			if n := here["True/Delivered"] + here["False/TooManyCredentials"]; n < each {
				time.Sleep(2 * time.Second)
				return fmt.Errorf("%d of %d are decided on: %v", n, each, here)
			}
			return nil
		})
		for i := range each {
			hub().delete(t, natsUsers, "team-b", fmt.Sprint("churn", i))
		}
		within(t, 15*time.Minute, func() error {
			left := 0
			for _, user := range hub().list(t, natsUsers, "team-b") {
				if strings.HasPrefix(user.GetName(), "churn") {
					left++
				}
			}
			if left > 0 {
				time.Sleep(2 * time.Second)
				return fmt.Errorf("%d are not deleted yet", left)
			}
			return nil
		})
		for is, n := range here {
			became[is] += n
		}
	}
	reconcile(t, natsAccounts, "baleen-system", "crowded")
	within(t, time.Minute, func() error {
		former, _, _ := unstructured.NestedSlice(hub().get(t, natsAccounts, "baleen-system", "crowded").Object, "status", "former")
		if len(former) != 1 || former[0].(map[string]any)["namespace"] != "team-b" || former[0].(map[string]any)["count"].(int64) != int64(2*became["True/Delivered"]) {
			return fmt.Errorf("%d were delivered on two clusters, and the status has %v", became["True/Delivered"], former)
		}
		return nil
	})
	if n := 2 * became["True/Delivered"]; n < most || n > most+4*each || became["False/TooManyCredentials"] < each {
		t.Errorf("of %d requests became %v", rounds*each, became)
	}
	s.holds("a team makes and deletes %d NatsUsers: beyond %d former credentials it gets no more, and all deletions are done", rounds*each, most)
	other.stays(t)
	took := time.Now()
	other.ends(t)
	measured("the deletion of another team's NatsUser, of the same account", "done after %.0f s", time.Since(took).Seconds())
	s.holds("another team's credential goes on meanwhile, and its deletion is done and revokes it")
	hub().delete(t, natsAccounts, "baleen-system", "crowded")
	gone(t, natsAccounts, "baleen-system", "crowded")
}
