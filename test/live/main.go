// Command live asks a real account of Synadia's what the documents leave open and
// nobody could try here, and says what Baleen does about it. It makes a few users
// that may do nothing, and removes them and their revocations again.
//
// It was tried against the stand-in, by its test and with `baleen fakecloud`, whose
// answers say nothing about the real service. It is no test of its own:
// `go test ./...` does not ask anybody.
package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"time"

	natsjwt "github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/synadia-io/control-plane-sdk-go/syncp"
	_ "golang.org/x/crypto/x509roots/fallback" // as the pipelines have them

	"github.com/baleen-platform/baleen/internal/provider/synadia"
	"github.com/baleen-platform/baleen/internal/term"
)

func main() {
	c := config{
		token: os.Getenv("SYNADIA_TOKEN"), account: os.Getenv("SYNADIA_ACCOUNT"), group: os.Getenv("SYNADIA_GROUP"),
		url: strings.TrimRight(cmp.Or(os.Getenv("SYNADIA_URL"), "https://cloud.synadia.com"), "/"), nats: os.Getenv("SYNADIA_NATS"), patience: 15 * time.Second,
	}
	if c.token == "" || c.account == "" {
		fmt.Fprintln(os.Stderr, "live: set SYNADIA_TOKEN, and SYNADIA_ACCOUNT to the id of an account that nothing depends on; SYNADIA_URL, SYNADIA_GROUP and SYNADIA_NATS (a server's URL) have defaults")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	answers, err := ask(ctx, c)
	stop()
	var rows [][]term.Cell
	if len(answers) > 0 {
		rows = [][]term.Cell{{{Text: "QUESTION", Style: term.Bold}, {Text: "ANSWER", Style: term.Bold}, {Text: "WHAT BALEEN DOES", Style: term.Bold}}}
	}
	for _, a := range answers {
		rows = append(rows, []term.Cell{{Text: a.question}, {Text: a.answer}, {Text: a.baleen}})
	}
	if tableErr := term.Table(os.Stdout, term.Colors(os.Stdout), rows...); err == nil {
		err = tableErr
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "live:", err)
		os.Exit(1)
	}
}

// config is whom to ask: account is an id, group an id or a name, empty for the one
// named Default, and nats a server, empty for the one that the account names.
// Patience is how long a deletion may take to be seen there.
type config struct {
	token, account, group, url, nats string
	patience                         time.Duration
}

// answer is what a question came to.
type answer struct{ question, answer, baleen string }

// asker asks, and remembers what it made.
type asker struct {
	config
	ctx    context.Context
	api    *syncp.APIClient
	found  *synadia.Account
	prefix string
	made   map[string]string // keys of users by id

	mutex   sync.Mutex
	headers map[string]string
}

// RoundTrip implements [http.RoundTripper]: it notes what headers say of rates.
func (a *asker) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := http.DefaultTransport.RoundTrip(r)
	if err == nil {
		a.mutex.Lock()
		defer a.mutex.Unlock()
		for name, values := range response.Header {
			if lower := strings.ToLower(name); strings.Contains(lower, "ratelimit") || strings.Contains(lower, "rate-limit") || lower == "retry-after" {
				a.headers[name] = strings.Join(values, ", ")
			}
		}
	}
	return response, err
}

func ask(ctx context.Context, c config) (answers []answer, err error) {
	found, err := synadia.Open(nil, c.url, "", c.token, time.Minute).Look(ctx, synadia.Named{AccountID: c.account, Group: c.group})
	if err != nil {
		return nil, fmt.Errorf("%w (here these are SYNADIA_URL, SYNADIA_TOKEN, SYNADIA_ACCOUNT, which is an id, and SYNADIA_GROUP)", err)
	}
	a := &asker{config: c, found: found, prefix: "baleen-live-" + strings.ToLower(rand.Text()[:8]), made: map[string]string{}, headers: map[string]string{}}
	settings := syncp.NewConfiguration()
	settings.HTTPClient = &http.Client{Transport: a, Timeout: 30 * time.Second}
	a.api = syncp.NewAPIClient(settings)
	with := func(ctx context.Context) context.Context {
		ctx = context.WithValue(ctx, syncp.ContextServerVariables, map[string]string{"baseUrl": c.url})
		return context.WithValue(ctx, syncp.ContextAccessToken, c.token)
	}
	a.ctx = with(ctx)
	defer func() {
		a.ctx = with(context.WithoutCancel(ctx))
		err = errors.Join(err, a.clean())
	}()
	for _, q := range []struct {
		question string
		ask      func() (string, error)
		baleen   string
	}{
		{"Does the creator see its user at once?", a.listed,
			"asks by its id for a user that is not in the list, and issues another if it is not there"},
		{"Must a name be unique?", a.unique, "gives each generation a name of its own; after a lost answer it looks before it tries again"},
		{"Is a name of 300 characters accepted?", a.long, "reports a refusal as IssueFailed; longer names come from long names of namespace, request and cluster only"},
		{"What does jwt_expires_in_secs 0 mean?", a.zero, "never sends 0, and retires what never expires"},
		{"Does each download make another issuance?", a.issuances, "downloads once for each generation, and revokes the key and not a download"},
		{"Is a revocation with a time to come accepted?", a.future, "revokes up to the expiry, and up to now by Synadia's clock where that is refused"},
		{"Does a revocation outlive its user?", a.outlives, "puts back a revocation that is gone, in the account's next run"},
		{"Does deleting a user revoke it?", a.deleted, "revokes first, and deletes then"},
		{"What do headers say of rates?", a.rates, "obeys Retry-After, and else waits 0.5, 1, 2, 4 s between five tries"},
	} {
		said, err := q.ask()
		if ctx.Err() != nil {
			return answers, ctx.Err()
		}
		if err != nil {
			said = "not found out: " + err.Error()
		}
		answers = append(answers, answer{q.question, said, q.baleen})
	}
	return answers, nil
}

// create makes a user that may do nothing, and returns the status of the answer.
func (a *asker) create(name string, seconds int64) (*syncp.NatsUserViewResponse, int, error) {
	asked := syncp.NatsUserCreateRequest{Name: name, SkGroupId: a.found.GroupID, JwtExpiresInSecs: &seconds}
	if a.found.Scope == nil {
		none := syncp.Permission{Deny: []string{">"}}
		asked.JwtSettings = &syncp.NatsCreateUserJwtSettings{Permissions: syncp.Permissions{Pub: &none, Sub: &none}}
	}
	user, response, err := a.api.AccountAPI.CreateUser(a.ctx, a.found.ID).NatsUserCreateRequest(asked).Execute()
	status := statusOf(response)
	if user != nil && user.Id != "" {
		a.made[user.Id] = user.UserPublicKey
	}
	return user, status, err
}

// must is create where it has to be made.
func (a *asker) must(suffix string) (*syncp.NatsUserViewResponse, error) {
	user, status, err := a.create(a.prefix+suffix, 3600)
	if err != nil {
		return nil, fmt.Errorf("a user cannot be made (%d): %w", status, err)
	}
	return user, nil
}

func (a *asker) download(id string) (*natsjwt.UserClaims, []byte, error) {
	creds, _, err := a.api.NatsUserAPI.DownloadNatsUserCreds(a.ctx, id).Execute()
	if err != nil {
		return nil, nil, err
	}
	token, err := natsjwt.ParseDecoratedJWT([]byte(creds))
	if err != nil {
		return nil, nil, errors.New("what is downloaded holds no JWT")
	}
	claims, err := natsjwt.DecodeUserClaims(token)
	return claims, []byte(creds), err
}

func (a *asker) listed() (string, error) {
	user, err := a.must("-listed")
	if err != nil {
		return "", err
	}
	byID := ", by its id at once"
	if _, response, err := a.api.NatsUserAPI.GetNatsUser(a.ctx, user.Id).Execute(); err != nil {
		byID = fmt.Sprintf(", by its id not at once: %d", statusOf(response))
	}
	for since, try := time.Now(), 1; time.Since(since) < 30*time.Second; try++ {
		list, _, err := a.api.AccountAPI.ListUsers(a.ctx, a.found.ID).Execute()
		if err != nil {
			return "", err
		}
		if slices.ContainsFunc(list.Items, func(u syncp.NatsUserViewResponse) bool { return u.Id == user.Id }) {
			if try == 1 {
				return "in the list at once" + byID, nil
			}
			return fmt.Sprintf("in the list after %s%s", time.Since(since).Round(time.Second), byID), nil
		}
		time.Sleep(time.Second)
	}
	return "in the list not within 30 s" + byID, nil
}

func (a *asker) unique() (string, error) {
	if _, err := a.must("-twice"); err != nil {
		return "", err
	}
	if _, status, err := a.create(a.prefix+"-twice", 3600); err != nil {
		return fmt.Sprintf("yes: the second is answered %d", status), nil
	}
	return "no: there are two of one name", nil
}

func (a *asker) long() (string, error) {
	name := a.prefix + "." + strings.Repeat("x", 299-len(a.prefix))
	user, status, err := a.create(name, 3600)
	switch {
	case err != nil:
		return fmt.Sprintf("no: %d", status), nil
	case user.Name != name:
		return fmt.Sprintf("cut off: the user's name has %d characters", len(user.Name)), nil
	}
	return "yes", nil
}

func (a *asker) zero() (string, error) {
	user, status, err := a.create(a.prefix+"-zero", 0)
	if err != nil {
		return fmt.Sprintf("it is refused: %d", status), nil
	}
	claims, _, err := a.download(user.Id)
	if err != nil {
		return "", err
	}
	if claims.Expires == 0 {
		return "never", nil
	}
	return fmt.Sprintf("%s after the issue", time.Duration(claims.Expires-claims.IssuedAt)*time.Second), nil
}

func (a *asker) issuances() (string, error) {
	user, err := a.must("-issued")
	if err != nil {
		return "", err
	}
	ids := map[string]bool{}
	for range 2 {
		claims, _, err := a.download(user.Id)
		if err != nil {
			return "", err
		}
		ids[claims.ID] = true
		time.Sleep(1100 * time.Millisecond) // the times in a JWT are seconds
	}
	list, _, err := a.api.NatsUserAPI.ListNatsUserIssuances(a.ctx, user.Id).Execute()
	if err != nil {
		return "", err
	}
	events := int64(0)
	for _, i := range list.Items {
		events += i.EventsCount
	}
	return fmt.Sprintf("two downloads are %d JWTs, %d issuances with %d events", len(ids), len(list.Items), events), nil
}

// revoke revokes a key up to a time, and returns what is shown afterwards.
func (a *asker) revoke(key string, before int64) (status int, shown int64, err error) {
	_, response, err := a.api.AccountAPI.CreateOrUpdateNatsUserRevocation(a.ctx, a.found.ID, key).
		NatsUserRevocationRequest(syncp.NatsUserRevocationRequest{Before: before}).Execute()
	if status = statusOf(response); err != nil {
		return status, 0, err
	}
	seen, _, err := a.api.AccountAPI.GetNatsUserRevocation(a.ctx, a.found.ID, key).Execute()
	if err != nil {
		return status, 0, err
	}
	return status, seen.Before, nil
}

func (a *asker) future() (string, error) {
	user, err := a.must("-future")
	if err != nil {
		return "", err
	}
	before := time.Now().Add(time.Hour).Unix()
	status, shown, err := a.revoke(user.UserPublicKey, before)
	switch {
	case status >= 400 && status < 500:
		return fmt.Sprintf("no: %d", status), nil
	case err != nil:
		return "", err
	case shown != before:
		return fmt.Sprintf("with another time: %s", time.Unix(shown, 0).UTC().Format(time.RFC3339)), nil
	}
	return "yes", nil
}

func (a *asker) outlives() (string, error) {
	user, err := a.must("-outlived")
	if err != nil {
		return "", err
	}
	if _, _, err := a.revoke(user.UserPublicKey, time.Now().Unix()); err != nil {
		return "", err
	}
	if _, err := a.api.NatsUserAPI.DeleteNatsUser(a.ctx, user.Id).Execute(); err != nil {
		return "", err
	}
	return a.isRevoked(user.UserPublicKey)
}

func (a *asker) isRevoked(key string) (string, error) {
	_, response, err := a.api.AccountAPI.GetNatsUserRevocation(a.ctx, a.found.ID, key).Execute()
	switch {
	case err == nil:
		return "yes", nil
	case statusOf(response) == http.StatusNotFound:
		return "no", nil
	}
	return "", err
}

func (a *asker) deleted() (string, error) {
	user, err := a.must("-deleted")
	if err != nil {
		return "", err
	}
	_, creds, err := a.download(user.Id)
	if err != nil {
		return "", err
	}
	before := a.connect(user, creds)
	if _, err := a.api.NatsUserAPI.DeleteNatsUser(a.ctx, user.Id).Execute(); err != nil {
		return "", err
	}
	said, err := a.isRevoked(user.UserPublicKey)
	if err != nil {
		return "", err
	}
	said += " by the list of revocations"
	if before != nil {
		return said + "; no server was tried: " + before.Error(), nil
	}
	for since := time.Now(); time.Since(since) < a.patience; time.Sleep(time.Second) {
		if err := a.connect(user, creds); err != nil {
			return said + "; it is refused: " + err.Error(), nil
		}
	}
	return fmt.Sprintf("%s; it still connects after %s", said, a.patience), nil
}

// connect reports whether a user connects to the servers of the account.
func (a *asker) connect(user *syncp.NatsUserViewResponse, creds []byte) error {
	servers := a.nats
	if servers == "" && user.System.ServerUrls != nil {
		servers = *user.System.ServerUrls
	}
	if servers == "" {
		return errors.New("none is known, set SYNADIA_NATS")
	}
	quiet := nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {})
	conn, err := nats.Connect(servers, nats.UserCredentialBytes(creds), nats.NoReconnect(), nats.Timeout(5*time.Second), quiet)
	if err == nil {
		conn.Close()
	}
	return err
}

func (a *asker) rates() (string, error) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	var said []string
	for _, name := range slices.Sorted(maps.Keys(a.headers)) {
		said = append(said, name+": "+a.headers[name])
	}
	return cmp.Or(strings.Join(said, "; "), "nothing"), nil
}

// clean removes what was made, also where the answer was lost, and its revocations:
// nobody has the credentials any more.
func (a *asker) clean() error {
	list, _, failed := a.api.AccountAPI.ListUsers(a.ctx, a.found.ID).Execute()
	if failed != nil {
		failed = fmt.Errorf("the users cannot be listed, remove those named %s by hand: %w", a.prefix, failed)
	} else {
		for _, u := range list.Items {
			if strings.HasPrefix(u.Name, a.prefix) {
				a.made[u.Id] = u.UserPublicKey
			}
		}
	}
	for id, key := range a.made {
		if response, err := a.api.NatsUserAPI.DeleteNatsUser(a.ctx, id).Execute(); err != nil && statusOf(response) != http.StatusNotFound {
			failed = errors.Join(failed, fmt.Errorf("the user %s is left, remove it by hand: %w", id, err))
		}
		if response, err := a.api.AccountAPI.DeleteNatsUserRevocation(a.ctx, a.found.ID, key).Execute(); err != nil && statusOf(response) != http.StatusNotFound {
			failed = errors.Join(failed, fmt.Errorf("the revocation of %s is left, remove it by hand: %w", key, err))
		}
	}
	return failed
}

func statusOf(response *http.Response) int {
	if response == nil {
		return 0
	}
	return response.StatusCode
}
