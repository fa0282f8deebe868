package pipelines_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/baleen-platform/baleen/internal/scenario"
)

// credentialsIn are the clusters of a status, each with the state of what it has.
func credentialsIn(o scenario.Outcome) string {
	var all []string
	rows, _ := o.Status["credentials"].([]any)
	for _, row := range rows {
		row, _ := row.(map[string]any)
		text := fmt.Sprint(row["destination"])
		if state, ok := row["state"]; ok {
			text += fmt.Sprintf(" %v %v", state, row["generation"])
		}
		all = append(all, text)
	}
	return strings.Join(all, ", ")
}

// A cluster that no longer matches stays in the status for as long as somebody can
// connect with what it has.
func TestCredentialsOfAClusterThatLeaves(t *testing.T) {
	const leaves = "baleen.dev/destination: us-1, environment: retired"
	begin := func(t *testing.T) (*live, func(after time.Duration, want string)) {
		l := newLive(t)
		l.wantReason("Verified", "")
		return l, func(after time.Duration, want string) {
			t.Helper()
			l.Now = l.Now.Add(after)
			o := l.Apply(example(t, "nats-user"))
			if got := credentialsIn(o); got != want || o.Err != nil {
				t.Errorf("%s later the status has %q (%v), want %q", after, got, o.Err, want)
			}
		}
	}
	t.Run("until it is revoked", func(t *testing.T) {
		l, run := begin(t)
		run(0, "eu-1, us-1")
		l.Write(destinationFile("us-1", leaves))
		run(time.Hour, "eu-1, us-1 Leaving 1")
		run(23*time.Hour, "eu-1, us-1 Leaving 1")
		run(2*time.Hour, "eu-1, us-1 Retiring 1")
		l.wantReason("Verified", "")
		run(time.Minute, "eu-1")
	})
	t.Run("until it matches again", func(t *testing.T) {
		l, run := begin(t)
		run(0, "eu-1, us-1")
		l.Write(destinationFile("us-1", leaves))
		run(time.Hour, "eu-1, us-1 Leaving 1")
		l.Write(destinationFile("us-1", strings.Replace(leaves, "retired", "prod", 1)))
		run(time.Hour, "eu-1, us-1")
	})
	t.Run("until it expires, with nothing to revoke it with", func(t *testing.T) {
		l, run := begin(t)
		l.account = strings.Replace(l.account, "    operator: {signingKeySecretRef: {name: operator}, systemCredentialsSecretRef: {name: operator}}\n", "", 1)
		l.wantReason("Verified", "")
		run(0, "eu-1, us-1")
		l.Write(destinationFile("us-1", leaves))
		run(time.Hour, "eu-1, us-1 Leaving 1")
		run(25*time.Hour, "eu-1, us-1 Unrevoked 1")
		run(29*24*time.Hour, "eu-1")
	})
}
