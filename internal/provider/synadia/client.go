package synadia

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/synadia-io/control-plane-sdk-go/syncp"
	_ "golang.org/x/crypto/x509roots/fallback" // an image has no certificates of authorities
	"k8s.io/apimachinery/pkg/util/wait"
)

// network carries the requests if nobody says otherwise. It goes by HTTPS_PROXY and
// NO_PROXY, and trusts the authorities in SSL_CERT_FILE in place of the usual ones.
var network = http.DefaultTransport

const (
	// perCall bounds one request with its answer.
	perCall = 15 * time.Second
	// tries is how often one is made at most.
	tries = 5
)

// pause is how long to wait before a try that follows one: twice as long as before the one
// before, and not all at once.
func pause(try int) time.Duration {
	return wait.Jitter(500*time.Millisecond<<(try-1), 0.2)
}

// Cloud is a control plane, as the owner of a token sees it.
type Cloud struct {
	api    *syncp.APIClient
	base   string
	token  string
	budget time.Duration
	// begin notes by when all must have ended, with the first request.
	begin    sync.Once
	deadline time.Time
}

// Open returns the control plane at a base URL. It makes no request. Requests go by a
// transport, or by the network of this process if it is nil. There the control plane's
// certificate is checked with those of authorities in PEM form, with those that the
// process trusts if there are none. All requests together have to end within the
// budget, which begins with the first.
func Open(transport http.RoundTripper, base, authorities, token string, budget time.Duration) *Cloud {
	switch {
	case transport != nil:
	case authorities == "":
		transport = network
	default:
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM([]byte(authorities))
		trusting := http.DefaultTransport.(*http.Transport).Clone()
		trusting.TLSClientConfig = &tls.Config{RootCAs: roots}
		transport = trusting
	}
	config := syncp.NewConfiguration()
	config.UserAgent = "baleen"
	config.Debug = false // it would write the token
	config.HTTPClient = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse // the token is for the base URL and nobody else
	}}
	return &Cloud{api: syncp.NewAPIClient(config), base: base, token: strings.TrimSpace(token), budget: budget}
}

// Error is a request that was refused, or that got no answer.
type Error struct {
	// What was to be done, as in "the account cannot be read".
	What string
	// Status of the answer, 0 if there was none.
	Status int
	// Lost: whether it had its effect is not known.
	Lost bool
	// slow: it may have it yet.
	slow bool
	why  string
}

func (e *Error) Error() string { return e.What + ": " + e.why }

// IsStatus reports whether an error is an answer with one of some statuses.
func IsStatus(err error, statuses ...int) bool {
	var e *Error
	if !errors.As(err, &e) {
		return false
	}
	return slices.Contains(statuses, e.Status)
}

// call makes a request until it is answered, for one that may be made again. What
// is answered must be valid, because a body that is cut off can look like one that
// says little.
func call[T any](ctx context.Context, c *Cloud, what string, valid func(T) bool, request func(context.Context) (T, *http.Response, error)) (T, error) {
	for try := 1; ; try++ {
		answer, after, err := c.once(ctx, what, try, func(ctx context.Context) (any, *http.Response, error) {
			a, response, err := request(ctx)
			if err == nil && !valid(a) {
				err = errUnreadable
			}
			return a, response, err
		})
		if err == nil {
			return answer.(T), nil
		}
		var nothing T
		if !err.again() || try == tries {
			return nothing, err
		}
		if !c.wait(ctx, after) {
			return nothing, err
		}
	}
}

var errUnreadable = errors.New("the answer cannot be read")

// once makes a request one time. It returns how long to wait before another try.
func (c *Cloud) once(ctx context.Context, what string, try int, request func(context.Context) (any, *http.Response, error)) (any, time.Duration, *Error) {
	ctx, cancel := context.WithDeadline(ctx, c.end())
	defer cancel()
	ctx, cancelCall := context.WithTimeout(ctx, perCall)
	defer cancelCall()
	ctx = context.WithValue(ctx, syncp.ContextServerVariables, map[string]string{"baseUrl": c.base})
	ctx = context.WithValue(ctx, syncp.ContextAccessToken, c.token)
	answer, response, err := request(ctx)
	after := pause(try)
	if err == nil {
		return answer, 0, nil
	}
	e := &Error{What: what}
	e.slow = errors.Is(err, context.DeadlineExceeded)
	if response == nil {
		e.Lost, e.why = true, fmt.Sprintf("there was no answer, %s: see that spec.synadia.baseURL is right, that Pods may connect there, and that its certificate is one that they trust (HTTPS_PROXY, spec.synadia.caCertificates)", c.plain(err))
		return nil, after, e
	}
	e.Status = response.StatusCode
	if wait, ok := retryAfter(response.Header.Get("Retry-After")); ok {
		after = wait
	}
	switch {
	case e.Status < 300:
		e.Lost, e.why = true, fmt.Sprintf("the answer (%d) cannot be read: see that spec.synadia.baseURL is right, and nothing on the way changes answers", e.Status)
	case e.Status == http.StatusUnauthorized, e.Status == http.StatusForbidden:
		e.why = fmt.Sprintf("the token is refused (%d): put one that is valid, and that may manage the account's users, into the Secret", e.Status)
	case e.Status == http.StatusTooManyRequests:
		e.why = fmt.Sprintf("too many requests (%d): wait for %s, and see who else uses the account", e.Status, after)
	case e.Status >= 500, e.Status == http.StatusRequestTimeout:
		e.Lost, e.slow = true, e.slow || e.Status == http.StatusGatewayTimeout
		e.why = fmt.Sprintf("the answer is %d%s: see whether the control plane is in order", e.Status, c.said(err))
	default:
		e.why = fmt.Sprintf("the answer is %d%s: see that spec.synadia is right", e.Status, c.said(err))
	}
	return nil, after, e
}

// again reports whether another try may have another answer.
func (e *Error) again() bool { return e.Lost || e.Status == http.StatusTooManyRequests }

// wait waits before another try. It returns false, without waiting, where that
// would take longer than there is time.
func (c *Cloud) wait(ctx context.Context, d time.Duration) bool {
	if time.Now().Add(d).After(c.end()) {
		return false
	}
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// Spent reports whether the budget is spent, so that nothing should be begun.
func (c *Cloud) Spent() bool { return !time.Now().Before(c.end()) }

// end is by when all requests must have ended.
func (c *Cloud) end() time.Time {
	c.begin.Do(func() { c.deadline = time.Now().Add(c.budget) })
	return c.deadline
}

// plain is an error of the network.
func (c *Cloud) plain(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return "the time for it was over"
	}
	return c.clean(err.Error())
}

// said is what the control plane says of an error, on one line.
func (c *Cloud) said(err error) string {
	var answered *syncp.GenericOpenAPIError
	if !errors.As(err, &answered) {
		return ""
	}
	var body struct{ Error, Message string }
	if json.Unmarshal(answered.Body(), &body) != nil || body.Error+body.Message == "" {
		return ""
	}
	text := c.clean(strings.Join(strings.Fields(body.Error+" "+body.Message), " "))
	return ", it says: " + strconv.QuoteToASCII(text[:min(len(text), 200)])
}

// secret is a seed or a JWT.
var secret = regexp.MustCompile(`\bS[A-Z2-7]{57,}|\beyJ[\w-]+(\.[\w-]+)*`)

// clean is a text of others' without the token and other secrets, should they be in
// it.
func (c *Cloud) clean(text string) string {
	if c.token != "" {
		text = strings.ReplaceAll(text, c.token, "...")
	}
	return secret.ReplaceAllString(text, "...")
}

// retryAfter reads the header of that name, RFC 9110 section 10.2.3.
func retryAfter(value string) (time.Duration, bool) {
	if seconds, err := strconv.Atoi(value); err == nil && seconds >= 0 {
		return time.Duration(min(seconds, math.MaxInt32)) * time.Second, true
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(0, time.Until(at)), true
	}
	return 0, false
}
