package fakecloud_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	natsjwt "github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/synadia-io/control-plane-sdk-go/syncp"

	"github.com/baleen-platform/baleen/internal/issuer/synadia/fakecloud"
	"github.com/baleen-platform/baleen/internal/issuer/synadia/fakecloud/openapi"
	"github.com/baleen-platform/baleen/internal/natslocal"
)

const token = "uat_test"

// world is a cloud, its NATS server, and the SDK's client, whose traffic is
// judged by the document.
type world struct {
	*fakecloud.Cloud
	t      *testing.T
	nats   *natslocal.System
	client *syncp.APIClient
	url    string
}

func start(t *testing.T, options fakecloud.Options) *world {
	t.Helper()
	w := &world{t: t}
	var err error
	if w.nats, err = natslocal.New(t.TempDir()); err != nil {
		t.Fatal(err)
	}
	if err := w.nats.Start(true); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.nats.Stop)
	options.NATS, options.Tokens = w.nats, []string{token}
	if w.Cloud, err = fakecloud.New(options); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(openapi.Validate(t, w.Cloud))
	server.Start()
	t.Cleanup(server.Close)
	w.url = server.URL
	config := syncp.NewConfiguration()
	config.HTTPClient = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	w.client = syncp.NewAPIClient(config)
	return w
}

// as is a context with a token.
func (w *world) as(token string) context.Context {
	ctx := context.WithValue(w.t.Context(), syncp.ContextServerVariables, map[string]string{"baseUrl": w.url})
	return context.WithValue(ctx, syncp.ContextAccessToken, token)
}

func (w *world) create(request syncp.NatsUserCreateRequest) (*syncp.NatsUserViewResponse, error) {
	if request.SkGroupId == "" {
		request.SkGroupId = w.Group
	}
	user, _, err := w.client.AccountAPI.CreateUser(w.as(token), w.Account).NatsUserCreateRequest(request).Execute()
	return user, err
}

func (w *world) mustCreate(request syncp.NatsUserCreateRequest) *syncp.NatsUserViewResponse {
	w.t.Helper()
	user, err := w.create(request)
	w.must(err)
	return user
}

func (w *world) creds(id string) (string, error) {
	creds, _, err := w.client.NatsUserAPI.DownloadNatsUserCreds(w.as(token), id).Execute()
	return creds, err
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// status is that of an error of the SDK, 0 if it is none of the control plane.
func status(err error) int {
	var answered *syncp.GenericOpenAPIError
	if errors.As(err, &answered) {
		return answered.Code()
	}
	return 0
}

func (w *world) wantStatus(err error, want int) {
	w.t.Helper()
	if got := status(err); got != want {
		w.t.Errorf("the status is %d (%v), want %d", got, err, want)
	}
}

// client is a connection whose problems are kept.
type client struct {
	*nats.Conn
	said   chan error
	closed chan bool
}

func (w *world) connect(creds string) (client, error) {
	c := client{said: make(chan error, 8), closed: make(chan bool)}
	var err error
	c.Conn, err = w.nats.Connect([]byte(creds),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { c.said <- err }),
		nats.ClosedHandler(func(*nats.Conn) { close(c.closed) }))
	if err == nil {
		w.t.Cleanup(c.Close)
	}
	return c, err
}

func within[T any](t *testing.T, c <-chan T, what string) (got T) {
	t.Helper()
	select {
	case got = <-c:
	case <-time.After(3 * time.Second):
		t.Fatalf("%s did not happen", what)
	}
	return got
}

func TestLifeOfAUser(t *testing.T) {
	w := start(t, fakecloud.Options{})
	user := w.mustCreate(syncp.NatsUserCreateRequest{
		Name: "orders", JwtExpiresInSecs: syncp.Ptr(int64(3600)),
		JwtSettings: &syncp.NatsCreateUserJwtSettings{
			Permissions: syncp.Permissions{
				Pub:  &syncp.Permission{Allow: []string{"orders.>"}, Deny: []string{"orders.secret"}},
				Sub:  &syncp.Permission{Allow: []string{"orders.>", "_INBOX.>"}},
				Resp: &syncp.ResponsePermission{Max: 1, Ttl: int64(5 * time.Second)},
			},
			UserLimits: syncp.UserLimits{
				Src:           []string{"127.0.0.0/8"},
				Times:         []syncp.TimeRange{{Start: syncp.Ptr("00:00:00"), End: syncp.Ptr("23:59:59")}},
				TimesLocation: syncp.Ptr("Europe/Berlin"),
			},
			AllowedConnectionTypes: []string{"STANDARD"}, Subs: syncp.Ptr(int64(5)), Payload: syncp.Ptr(int64(1024)),
			Tags: []string{"cluster:eu-1"},
		},
	})
	creds, err := w.creds(user.Id)
	w.must(err)
	signed, err := natsjwt.ParseDecoratedJWT([]byte(creds))
	w.must(err)
	claims, err := natsjwt.DecodeUserClaims(signed)
	w.must(err)
	limits := claims.UserPermissionLimits
	switch {
	case claims.Subject != user.UserPublicKey, claims.Name != "orders", claims.Expires != claims.IssuedAt+3600, !claims.Tags.Contains("cluster:eu-1"),
		len(limits.Pub.Allow) != 1, len(limits.Pub.Deny) != 1, len(limits.Sub.Allow) != 2, limits.Resp.MaxMsgs != 1, limits.Resp.Expires != 5*time.Second,
		len(limits.Src) != 1, len(limits.Times) != 1, limits.Locale != "Europe/Berlin", !limits.AllowedConnectionTypes.Contains("STANDARD"),
		limits.Subs != 5, limits.Payload != 1024, limits.Data != natsjwt.NoLimit:
		t.Errorf("the JWT does not say what was asked for: %v", claims)
	}

	conn, err := w.connect(creds)
	w.must(err)
	sub, err := conn.SubscribeSync("orders.new")
	w.must(err)
	w.must(conn.Publish("orders.new", []byte("one")))
	if msg, err := sub.NextMsg(3 * time.Second); err != nil || string(msg.Data) != "one" {
		t.Errorf("got %v, %v", msg, err)
	}
	for _, subject := range []string{"other", "orders.secret"} {
		w.must(conn.Publish(subject, nil))
		if err := within(t, conn.said, "the refusal"); !errors.Is(err, nats.ErrPermissionViolation) {
			t.Errorf("publishing to %s says %v", subject, err)
		}
	}

	revoke := w.client.AccountAPI.CreateOrUpdateNatsUserRevocation(w.as(token), w.Account, user.UserPublicKey)
	revocation, answer, err := revoke.NatsUserRevocationRequest(syncp.NatsUserRevocationRequest{Before: time.Now().Unix()}).Execute()
	w.must(err)
	if answer.StatusCode != http.StatusCreated || revocation.UserNkeyPublic != user.UserPublicKey {
		t.Errorf("the answer is %d, %v", answer.StatusCode, revocation)
	}
	within(t, conn.closed, "being cut off")
	if _, err := w.connect(creds); !errors.Is(err, nats.ErrAuthorization) {
		t.Errorf("connecting when revoked says %v", err)
	}

	_, err = w.client.NatsUserAPI.DeleteNatsUser(w.as(token), user.Id).Execute()
	w.must(err)
	_, err = w.client.NatsUserAPI.DeleteNatsUser(w.as(token), user.Id).Execute()
	w.wantStatus(err, http.StatusNotFound)
	if _, err := w.connect(creds); !errors.Is(err, nats.ErrAuthorization) {
		t.Errorf("connecting when deleted says %v", err)
	}
}
