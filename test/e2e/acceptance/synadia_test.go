package acceptance

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// synadia is the life of a credential whose account is in Synadia Cloud, and what
// the control plane is asked for it.
func synadia(s *story) {
	t := s.T
	needsControl(t) // the stand-in for Synadia Cloud is on our own platform
	hub().apply(t, secret("baleen-system", "synadia", "token", []byte(world.Synadia.Token)))
	hub().apply(t, fmt.Sprintf(`apiVersion: baleen.dev/v1alpha1
kind: NatsAccount
metadata: {name: cloud, namespace: baleen-system}
spec:
  provider: synadia
  synadia:
    baseURL: %s
    caCertificates: %q
    accountID: %s
    platform: prod
    tokenSecretRef: {name: synadia}
    servers: ["%s"]
  policy:
    namespaces: ["team-*"]
    publish: ["orders.>", "$JS.API.>", "$JS.ACK.>"]
    subscribe: ["orders.>", "_INBOX.>"]
`, world.Synadia.URL, world.Synadia.Authorities, world.Synadia.AccountID, world.Synadia.NATS))
	becomes(t, natsAccounts, "baleen-system", "cloud", "True/Verified")
	s.holds("the account is verified, by HTTPS with an authority of one's own")

	hub().apply(t, strings.Replace(natsUser("team-b", "cloudy", "credentials: {overlap: 1s}"), "commerce", "cloud", 1))
	c := &credential{namespace: "team-b", name: "cloudy", last: map[string][]byte{}, versions: map[string]string{}}
	c.arrives(t)
	if is := cloudUsers(t, "team-b.cloudy."); len(is) != 2 {
		t.Errorf("the control plane has the users %v, and not one for each cluster", is)
	}
	confined(t, c.last["eu-1"])
	s.holds("both clusters have the Secret, with a user each; it connects, and is refused what it was not granted")

	quiet(t, natsUsers, "team-b", "cloudy")
	quiet(t, natsAccounts, "baleen-system", "cloud")
	commitsBefore, requestsBefore := commits(t, natsUsers, "team-b", "cloudy"), cloudRequests(t)
	if !strings.Contains(requestsBefore, "POST ") {
		t.Fatalf("that users were made does not show in the requests:\n%s", requestsBefore)
	}
	for range reconciles(t, 20) {
		reconcile(t, natsUsers, "team-b", "cloudy")
	}
	c.stays(t)
	if is := commits(t, natsUsers, "team-b", "cloudy"); is != commitsBefore {
		t.Errorf("Git had %s commits of it and has %s", commitsBefore, is)
	}
	if is := cloudRequests(t); is != requestsBefore {
		t.Errorf("the control plane was asked meanwhile:\n%s", strings.TrimPrefix(is, requestsBefore))
	}
	s.holds("%d forced reconciles change nothing, and ask the control plane nothing", reconciles(t, 20))

	first := c.last["eu-1"]
	rotate(t, "team-b/cloudy")
	c.arrives(t)
	superseded(t, "team-b", "cloudy", first)
	within(t, time.Minute, func() error {
		if is := cloudUsers(t, "team-b.cloudy."); len(is) != 2 {
			return fmt.Errorf("the control plane has the users %v", is)
		}
		return nil
	})
	s.holds("it is rotated: the former users are revoked and deleted there")
	c.ends(t)
	within(t, time.Minute, func() error {
		if is := cloudUsers(t, "team-b.cloudy."); len(is) > 0 {
			return fmt.Errorf("the control plane has the users %v", is)
		}
		return nil
	})
	s.holds("it is deleted: nobody gets in with anything it ever had, and the control plane has no user of it")
}

// cloudUsers are the names of users that the control plane has, with a prefix.
func cloudUsers(t testing.TB, prefix string) (names []string) {
	t.Helper()
	authorities := x509.NewCertPool()
	authorities.AppendCertsFromPEM([]byte(world.Synadia.Authorities))
	client := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: authorities}}}
	defer client.CloseIdleConnections()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, world.Synadia.URL+"/api/core/beta/accounts/"+world.Synadia.AccountID+"/nats-users", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+world.Synadia.Token)
	answer, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var list struct{ Items []struct{ Name string } }
	if err := json.NewDecoder(answer.Body).Decode(&list); err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("the users are not listed: %s %v", answer.Status, err)
	}
	for _, user := range list.Items {
		if strings.HasPrefix(user.Name, prefix) {
			names = append(names, user.Name)
		}
	}
	return names
}

// cloudRequests are a line for each request that Baleen made.
func cloudRequests(t testing.TB) string {
	t.Helper()
	data, err := os.ReadFile(world.Synadia.Requests)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
