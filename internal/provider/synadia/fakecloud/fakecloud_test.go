package fakecloud_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	natsjwt "github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/synadia-io/control-plane-sdk-go/syncp"

	"github.com/baleen-platform/baleen/internal/natslocal"
	"github.com/baleen-platform/baleen/internal/natslocal/natstest"
	"github.com/baleen-platform/baleen/internal/provider/synadia/fakecloud"
	"github.com/baleen-platform/baleen/internal/provider/synadia/fakecloud/openapi"
)

const token = "uat_test"

// inputs are a cloud, its NATS server, and the SDK's client, whose traffic is
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
	w := &world{t: t, nats: natstest.Start(t)}
	var err error
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
	if answered, ok := errors.AsType[*syncp.GenericOpenAPIError](err); ok {
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

// within waits for something that happens soon, and on a busy machine later.
func within[T any](t *testing.T, c <-chan T, what string) (got T) {
	t.Helper()
	select {
	case got = <-c:
	case <-time.After(5 * time.Minute):
		t.Fatalf("%s did not happen", what)
	}
	return got
}

func TestLifeOfAUser(t *testing.T) {
	w := start(t, fakecloud.Options{})
	user := w.mustCreate(syncp.NatsUserCreateRequest{
		Name: "orders", JwtExpiresInSecs: new(int64(3600)),
		JwtSettings: &syncp.NatsCreateUserJwtSettings{
			Permissions: syncp.Permissions{
				Pub:  &syncp.Permission{Allow: []string{"orders.>"}, Deny: []string{"orders.secret"}},
				Sub:  &syncp.Permission{Allow: []string{"orders.>", "_INBOX.>"}},
				Resp: &syncp.ResponsePermission{Max: 1, Ttl: int64(5 * time.Second)},
			},
			UserLimits: syncp.UserLimits{
				Src:           []string{"127.0.0.0/8"},
				Times:         []syncp.TimeRange{{Start: new("00:00:00"), End: new("23:59:59")}},
				TimesLocation: new("Europe/Berlin"),
			},
			AllowedConnectionTypes: []string{"STANDARD"}, Subs: new(int64(5)), Payload: new(int64(1024)),
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

func TestWhatThereIs(t *testing.T) {
	w := start(t, fakecloud.Options{})
	other := w.AddSystem(w.AddTeam("other"), "NGS")
	ctx := w.as(token)
	teams, _, err := w.client.SessionAPI.ListTeams(ctx).Execute()
	w.must(err)
	systems, _, err := w.client.TeamAPI.ListTeamSystems(ctx, w.Team).Execute()
	w.must(err)
	accounts, _, err := w.client.SystemAPI.ListAccounts(ctx, w.System).Execute()
	w.must(err)
	none, _, err := w.client.SystemAPI.ListAccounts(ctx, other).Execute()
	w.must(err)
	account, _, err := w.client.AccountAPI.GetAccount(ctx, w.Account).Execute()
	w.must(err)
	groups, _, err := w.client.AccountAPI.ListAccountSkGroup(ctx, w.Account).Execute()
	w.must(err)
	group, _, err := w.client.SigKeyGroupAPI.GetAccountSkGroup(ctx, w.Group).Execute()
	w.must(err)
	switch {
	case len(teams.Items) != 2, teams.Items[0].Id != w.Team, len(systems.Items) != 1, systems.Items[0].Id != w.System,
		len(accounts.Items) != 1, accounts.Items[0].Id != w.Account, len(none.Items) != 0,
		account.Name != "commerce", *account.System.ServerUrls != w.nats.URL(), len(*account.Claims.Nats.SigningKeys) != 1,
		len(groups.Items) != 1, groups.Items[0].Id != w.Group, group.Name != "Default", group.IsScoped, group.Disabled:
		t.Errorf("there is: %v %v %v %v %v %v %v", teams, systems, accounts, none, account, groups, group)
	}
	_, _, err = w.client.AccountAPI.GetAccount(ctx, "nobody").Execute()
	w.wantStatus(err, http.StatusNotFound)
}

func TestUsersOfOneName(t *testing.T) {
	w := start(t, fakecloud.Options{})
	one, two := w.mustCreate(syncp.NatsUserCreateRequest{Name: "a"}), w.mustCreate(syncp.NatsUserCreateRequest{Name: "a"})
	if one.Id == two.Id || one.UserPublicKey == two.UserPublicKey {
		t.Error("creating twice made one user")
	}
	list, _, err := w.client.AccountAPI.ListUsers(w.as(token), w.Account).Execute()
	w.must(err)
	if len(list.Items) != 2 || list.Items[0].Name != "a" || *list.Items[0].SkGroupId != w.Group || list.Items[1].UserPublicKey != two.UserPublicKey {
		t.Errorf("the list is %v", list.Items)
	}
	got, _, err := w.client.NatsUserAPI.GetNatsUser(w.as(token), two.Id).Execute()
	w.must(err)
	users := w.Users(w.Account)
	if got.Id != two.Id || len(users) != 2 || users[0].PublicKey != one.UserPublicKey {
		t.Errorf("there are %v", users)
	}
}

func TestDeleting(t *testing.T) {
	for name, revokes := range map[string]bool{"keeps what was issued": false, "revokes": true} {
		t.Run(name, func(t *testing.T) {
			w := start(t, fakecloud.Options{DeleteRevokes: revokes})
			user := w.mustCreate(syncp.NatsUserCreateRequest{Name: "a"})
			creds, err := w.creds(user.Id)
			w.must(err)
			_, err = w.client.NatsUserAPI.DeleteNatsUser(w.as(token), user.Id).Execute()
			w.must(err)
			_, err = w.creds(user.Id)
			w.wantStatus(err, http.StatusNotFound)
			if _, err := w.connect(creds); (err != nil) != revokes {
				t.Errorf("connecting says %v", err)
			}
			if issued := w.Issuances(w.Account); len(issued) != 1 || string(issued[0].Creds) != creds {
				t.Errorf("the cloud remembers %d issuances", len(issued))
			}
		})
	}
}

func TestRevocations(t *testing.T) {
	w := start(t, fakecloud.Options{})
	user := w.mustCreate(syncp.NatsUserCreateRequest{Name: "a"})
	put := func(before int64) (*syncp.NatsUserRevocationViewResponse, *http.Response, error) {
		return w.client.AccountAPI.CreateOrUpdateNatsUserRevocation(w.as(token), w.Account, user.UserPublicKey).
			NatsUserRevocationRequest(syncp.NatsUserRevocationRequest{Before: before}).Execute()
	}
	get := w.client.AccountAPI.GetNatsUserRevocation(w.as(token), w.Account, user.UserPublicKey)
	remove := w.client.AccountAPI.DeleteNatsUserRevocation(w.as(token), w.Account, user.UserPublicKey)
	_, _, err := get.Execute()
	w.wantStatus(err, http.StatusNotFound)
	_, err = remove.Execute()
	w.wantStatus(err, http.StatusNotFound)
	_, answer, err := put(0)
	w.must(err)
	if answer.StatusCode != http.StatusCreated {
		t.Errorf("the first answer is %s", answer.Status)
	}
	until := time.Now().Add(time.Hour).Unix()
	_, answer, err = put(until)
	w.must(err)
	if answer.StatusCode != http.StatusOK {
		t.Errorf("the second answer is %s", answer.Status)
	}
	_, _, err = put(-1)
	w.wantStatus(err, http.StatusBadRequest)
	revocation, _, err := get.Execute()
	w.must(err)
	account, _, err := w.client.AccountAPI.GetAccount(w.as(token), w.Account).Execute()
	w.must(err)
	key := user.UserPublicKey
	if revocation.Before != until || account.Claims.Nats.Revocations[key] != until || account.JwtSettings.Revocations[key] != until || w.Revocations(w.Account)[key] != until {
		t.Errorf("revoked is %v, %v", revocation, account.Claims.Nats.Revocations)
	}
	creds, err := w.creds(user.Id)
	w.must(err)
	if _, err := w.connect(creds); !errors.Is(err, nats.ErrAuthorization) {
		t.Errorf("connecting with what was issued before the time says %v", err)
	}
	_, err = remove.Execute()
	w.must(err)
	if _, err := w.connect(creds); err != nil {
		t.Errorf("connecting when no longer revoked says %v", err)
	}
	_, _, err = w.client.AccountAPI.GetNatsUserRevocation(w.as(token), w.Account, "nobody").Execute()
	w.wantStatus(err, http.StatusNotFound)
}

func TestIssuances(t *testing.T) {
	w := start(t, fakecloud.Options{})
	user := w.mustCreate(syncp.NatsUserCreateRequest{Name: "a", JwtExpiresInSecs: new(int64(60))})
	one, err := w.creds(user.Id)
	w.must(err)
	time.Sleep(1100 * time.Millisecond) // what is issued within a second is the same
	two, err := w.creds(user.Id)
	w.must(err)
	if one == two {
		t.Error("two downloads are the same")
	}
	list, _, err := w.client.NatsUserAPI.ListNatsUserIssuances(w.as(token), user.Id).Execute()
	w.must(err)
	if len(list.Items) != 1 || list.Items[0].EventsCount != 2 || list.Items[0].Sub != user.UserPublicKey || list.Items[0].Status != syncp.NATSUSERISSUANCESTATUS_ACTIVE {
		t.Fatalf("the issuances are %v", list.Items)
	}
	_, _, err = w.client.AccountAPI.CreateOrUpdateNatsUserRevocation(w.as(token), w.Account, user.UserPublicKey).
		NatsUserRevocationRequest(syncp.NatsUserRevocationRequest{Before: list.Items[0].IatMin}).Execute()
	w.must(err)
	got, _, err := w.client.IssuanceAPI.GetNatsUserIssuance(w.as(token), list.Items[0].Id).Execute()
	w.must(err)
	if got.Status != syncp.NATSUSERISSUANCESTATUS_PARTIALLY_REVOKED || len(got.Events) != 2 ||
		got.Events[0].Status != syncp.NATSUSERISSUANCESTATUS_REVOKED || got.Events[1].Status != syncp.NATSUSERISSUANCESTATUS_ACTIVE {
		t.Errorf("the issuance is %v", got)
	}
	if _, err := w.connect(one); !errors.Is(err, nats.ErrAuthorization) {
		t.Errorf("connecting with the first says %v", err)
	}
	if _, err := w.connect(two); err != nil {
		t.Errorf("connecting with the second says %v", err)
	}
}

func TestGroups(t *testing.T) {
	w := start(t, fakecloud.Options{})
	add := func(g fakecloud.Group) string {
		id, err := w.AddGroup(w.Account, g)
		w.must(err)
		return id
	}
	scope := &natsjwt.UserPermissionLimits{Permissions: natsjwt.Permissions{Pub: natsjwt.Permission{Allow: []string{"{{tag(team)}}.>"}}}}
	scope.NatsLimits = natsjwt.NatsLimits{Subs: 3, Data: natsjwt.NoLimit, Payload: natsjwt.NoLimit}
	scoped := add(fakecloud.Group{Name: "scoped", Scope: scope})
	settings := func(s syncp.NatsCreateUserJwtSettings) *syncp.NatsCreateUserJwtSettings { return &s }
	tests := []struct {
		name     string
		group    string
		settings *syncp.NatsCreateUserJwtSettings
		want     int
	}{
		{"programmatic", add(fakecloud.Group{Name: "p", Programmatic: true}), nil, http.StatusBadRequest},
		{"without a seed", add(fakecloud.Group{Name: "m", MissingSeed: true}), nil, http.StatusBadRequest},
		{"of nobody", "nobody", nil, http.StatusBadRequest},
		{"scoped", scoped, settings(syncp.NatsCreateUserJwtSettings{Tags: []string{"team:a"}}), 0},
		{"scoped, with settings", scoped, settings(syncp.NatsCreateUserJwtSettings{Subs: new(int64(1))}), http.StatusBadRequest},
		{"with a wrong setting", w.Group, settings(syncp.NatsCreateUserJwtSettings{UserLimits: syncp.UserLimits{Src: []string{"no"}}}), http.StatusBadRequest},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := w.create(syncp.NatsUserCreateRequest{Name: "a", SkGroupId: test.group, JwtSettings: test.settings})
			w.wantStatus(err, test.want)
		})
	}
	creds, err := w.creds(w.Users(w.Account)[0].ID)
	w.must(err)
	conn, err := w.connect(creds)
	w.must(err)
	w.must(conn.Publish("a.one", nil))
	w.must(conn.Publish("b.one", nil))
	if err := within(t, conn.said, "the refusal"); !errors.Is(err, nats.ErrPermissionViolation) {
		t.Errorf("publishing outside of the scope says %v", err)
	}
	w.must(w.DisableGroup(scoped))
	within(t, conn.closed, "being cut off")
	_, err = w.creds(w.Users(w.Account)[0].ID)
	w.wantStatus(err, http.StatusBadRequest)
	for _, id := range []string{scoped, w.Group} {
		group, _, err := w.client.SigKeyGroupAPI.GetAccountSkGroup(w.as(token), id).Execute()
		w.must(err)
		if group.Disabled != (id == scoped) || group.IsScoped != (id == scoped) || (group.Scope == nil) == (id == scoped) {
			t.Errorf("the group is %v", group)
		}
	}
}

func TestTokens(t *testing.T) {
	w := start(t, fakecloud.Options{})
	ask := func(token string) error {
		_, _, err := w.client.SessionAPI.ListTeams(w.as(token)).Execute()
		return err
	}
	w.wantStatus(ask("stranger"), http.StatusUnauthorized)
	w.wantStatus(ask(""), http.StatusUnauthorized)
	w.AllowToken("second")
	w.must(ask("second"))
	w.RevokeToken("second")
	w.wantStatus(ask("second"), http.StatusUnauthorized)
	w.must(ask(token))
}

const usersPath = "/accounts/*/nats-users"

func TestFaults(t *testing.T) {
	tests := []struct {
		name   string
		fault  fakecloud.Fault
		status int  // of the error that the client sees, 0 for one of another kind
		fails  bool // the client sees an error
		users  int  // there are then
	}{
		{"status before the effect", fakecloud.Fault{Status: 503}, 503, true, 0},
		{"status after the effect", fakecloud.Fault{Status: 500, Late: true}, 500, true, 1},
		{"an empty answer", fakecloud.Fault{Status: 201}, 0, false, 0},
		{"an answer without fields", fakecloud.Fault{Status: 201, Body: "{}", Late: true}, 0, false, 1},
		{"cut before the effect", fakecloud.Fault{Drop: true}, 0, true, 0},
		{"cut after the effect", fakecloud.Fault{Drop: true, Late: true}, 0, true, 1},
		{"half a body", fakecloud.Fault{Half: true}, 0, true, 1},
		{"another content type", fakecloud.Fault{ContentType: "text/html"}, 201, true, 1},
		{"effect twice", fakecloud.Fault{Twice: true}, 0, false, 2},
		{"late", fakecloud.Fault{Delay: 10 * time.Millisecond}, 0, false, 1},
		{"another method", fakecloud.Fault{Method: "GET", Status: 500}, 0, false, 1},
		{"another path", fakecloud.Fault{Path: "/nats-users/*", Status: 500}, 0, false, 1},
		{"the method and the path", fakecloud.Fault{Method: "POST", Path: usersPath, Status: 403}, 403, true, 0},
		{"only the second", fakecloud.Fault{Nth: 2, Status: 500}, 0, false, 1},
	}
	w := start(t, fakecloud.Options{})
	inProcess := syncp.NewConfiguration()
	inProcess.HTTPClient = &http.Client{Transport: fakecloud.Transport(openapi.Validate(t, w.Cloud))}
	for name, client := range map[string]*syncp.APIClient{"network": w.client, "in process": syncp.NewAPIClient(inProcess)} {
		w.client = client
		for _, test := range tests {
			t.Run(name+"/"+test.name, func(t *testing.T) {
				w.ForgetRequests()
				before := len(w.Users(w.Account))
				w.Fail(test.fault)
				_, err := w.create(syncp.NatsUserCreateRequest{Name: "a"})
				w.Heal()
				if (err != nil) != test.fails || status(err) != test.status {
					t.Errorf("the client sees %v", err)
				}
				if made := len(w.Users(w.Account)) - before; made != test.users {
					t.Errorf("%d users were made, want %d", made, test.users)
				}
				if log := w.Requests(); len(log) != 1 || log[0].Method != http.MethodPost || log[0].Path != "/accounts/"+w.Account+"/nats-users" {
					t.Errorf("the log is %v", log)
				}
			})
		}
	}
}

func TestRetryAfterAndOrder(t *testing.T) {
	w := start(t, fakecloud.Options{})
	w.Fail(fakecloud.Fault{Nth: 2, Status: 429, RetryAfter: "7"}, fakecloud.Fault{Nth: 3, Drop: true})
	for want := range 4 {
		_, answer, err := w.client.SessionAPI.ListTeams(w.as(token)).Execute()
		w.wantStatus(err, []int{0, 429, 0, 0}[want])
		if want == 1 && answer.Header.Get("Retry-After") != "7" {
			t.Errorf("Retry-After is %q", answer.Header.Get("Retry-After"))
		}
	}
	want := []string{"GET /teams 200", "GET /teams 429 (as told)", "GET /teams 0 (as told)", "GET /teams 200"}
	log := w.Requests()
	if len(log) != len(want) {
		t.Fatalf("the log is %v", log)
	}
	for i, line := range want {
		if log[i].String() != line {
			t.Errorf("line %d of the log is %q, want %q", i, log[i], line)
		}
	}
}

// A year passes in no time, and the clocks of the cloud, of its JWTs and of the
// servers go together.
func TestWithinABubbleOfTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, url: "http://cloud"}
		var err error
		w.nats, err = natslocal.New(t.TempDir())
		w.must(err)
		w.Cloud, err = fakecloud.New(fakecloud.Options{NATS: w.nats, Tokens: []string{token}})
		w.must(err)
		config := syncp.NewConfiguration()
		config.HTTPClient = &http.Client{Timeout: time.Minute, Transport: fakecloud.Transport(w.Cloud)}
		w.client = syncp.NewAPIClient(config)

		user := w.mustCreate(syncp.NatsUserCreateRequest{Name: "a", JwtExpiresInSecs: new(int64(30 * 24 * 3600))})
		connect := func(creds string) error {
			return w.nats.While(func() error {
				conn, err := w.connect(creds)
				if err == nil {
					conn.Close()
				}
				return err
			})
		}
		old, err := w.creds(user.Id)
		w.must(err)
		w.must(connect(old))
		time.Sleep(365 * 24 * time.Hour)
		if connect(old) == nil {
			t.Error("what was issued a year ago still connects")
		}
		creds, err := w.creds(user.Id)
		w.must(err)
		w.must(connect(creds))
		_, _, err = w.client.AccountAPI.CreateOrUpdateNatsUserRevocation(w.as(token), w.Account, user.UserPublicKey).
			NatsUserRevocationRequest(syncp.NatsUserRevocationRequest{}).Execute()
		w.must(err)
		if connect(creds) == nil {
			t.Error("what is revoked still connects")
		}
	})
}

// A client that has given up does not stop what it asked for.
func TestDelayOutlivesTheClient(t *testing.T) {
	w := start(t, fakecloud.Options{})
	for patience := 20 * time.Millisecond; len(w.Users(w.Account)) == 0; patience *= 2 { // too short to reach the server on a busy machine
		w.client.GetConfig().HTTPClient.Timeout = patience
		w.Heal()
		w.Fail(fakecloud.Fault{Delay: 5 * patience})
		if _, err := w.create(syncp.NatsUserCreateRequest{Name: "a"}); err == nil {
			t.Fatal("the client has not given up")
		}
		time.Sleep(10 * patience)
	}
}
