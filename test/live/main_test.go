package main

import (
	"fmt"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/baleen-platform/baleen/internal/natslocal/natstest"
	"github.com/baleen-platform/baleen/internal/provider/synadia/fakecloud"
)

// The stand-in is asked, of which the answers are known; nothing is left.
func TestAskTheStandIn(t *testing.T) {
	for _, revokes := range []bool{false, true} {
		t.Run(fmt.Sprint("deleting revokes: ", revokes), func(t *testing.T) {
			system := natstest.Start(t)
			cloud, err := fakecloud.New(fakecloud.Options{NATS: system, Tokens: []string{"token"}, DeleteRevokes: revokes})
			if err != nil {
				t.Fatal(err)
			}
			server := httptest.NewServer(cloud)
			t.Cleanup(server.Close)
			answers, err := ask(t.Context(), config{token: "token", account: cloud.Account, url: server.URL, nats: system.URL(), patience: time.Second})
			if err != nil {
				t.Fatal(err)
			}
			want := []string{
				"in the list at once, by its id at once", "no: there are two of one name", "yes", "never", "two downloads are 2 JWTs, 1 issuances with 2 events", "yes", "yes",
				"no by the list of revocations; it still connects after 1s", "nothing",
			}
			if revokes {
				want[7] = "yes by the list of revocations; it is refused: nats: Authorization Violation"
			}
			if len(answers) != len(want) {
				t.Fatal(answers)
			}
			for i, a := range answers {
				if a.answer != want[i] {
					t.Errorf("%s %s, want %s", a.question, a.answer, want[i])
				}
			}
			if users, revoked := cloud.Users(cloud.Account), cloud.Revocations(cloud.Account); len(users)+len(revoked) > 0 {
				t.Errorf("left are %v and %v", users, revoked)
			}
		})
	}
}
