package acceptance

import (
	"fmt"
	"testing"
	"time"
)

func TestCredentialReachesBothClusters(t *testing.T) {
	s := tell(t)
	hub().apply(t, natsUser("team-a", "orders", ""))
	took := becomes(t, natsUsers, "team-a", "orders", "True/Delivered")
	s.holds("issued %.1f s after it was asked for", took.Seconds())
	for _, c := range []*cluster{eu(), us()} {
		within(t, time.Minute, func() error {
			if c.get(t, secrets, "team-a", "orders-nats") == nil {
				return fmt.Errorf("%s has no Secret", c.name)
			}
			return nil
		})
	}
}

func natsUser(namespace, name, more string) string {
	return fmt.Sprintf(`apiVersion: baleen.dev/v1alpha1
kind: NatsUser
metadata: {name: %[2]s, namespace: %[1]s}
spec:
  accountRef: {name: commerce}
  permissions:
    publish: {allow: ["orders.>"]}
    subscribe: {allow: ["orders.>", "_INBOX.>"]}
  secret: {name: %[2]s-nats, key: nats.creds}
  placement: {matchLabels: {environment: prod}}
%[3]s`, namespace, name, more)
}
