package gateway

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/baleen-platform/baleen/internal/field"
	target "github.com/baleen-platform/baleen/promises/api-aggregator-target/v1alpha1"
	"github.com/baleen-platform/baleen/promises/api-aggregator/v1alpha1"
)

// capabilities are what an implementation honours. Each is known from a conformance
// report, from the implementation's source or from the wire; what is emitted and not
// honoured would be served otherwise than it was asked for, so it is refused. Characters
// are listed by what is allowed: what nobody has looked at is refused.
type capabilities struct {
	// readFrom is the version whose source says so, and least the first one that does.
	readFrom, least string
	// timeouts of routes.
	timeouts bool
	// longest is the length of a prefix, in bytes, from which on it would win against what
	// it must not; 0 is none.
	longest int
	// path, withMethods and withRewrite are the characters of a path that is published
	// alone, for some methods, and with a rewrite; rewrite those of what it is rewritten to.
	path, withMethods, withRewrite, rewrite set
	// breaks are the characters of a path that with a rewrite break what others publish.
	breaks string
	// notBoth says that a path has methods or a rewrite, and notRoot that / has no rewrite.
	notBoth, notRoot bool
	// notMethods are the methods that no route matches.
	notMethods []target.Method
	// fixed are the headers, in lower case, that a route cannot change, besides those of
	// the connection, and kept those that it can set and not remove. A * at the end
	// stands for any characters.
	fixed, kept []string
	// name and value are the characters of headers.
	name, value set
	// oneBlank says that a value has no two blanks in a row.
	oneBlank bool
	// exact are the names of headers, by their lower case, that it would send twice if
	// they were written otherwise.
	exact map[string]string
	// zeroFirst says that the last backend gets what rounding leaves, whatever its weight.
	zeroFirst bool
	// limit gives a limit for request bodies the form that the implementation's object
	// has it in; it is empty where none is to be emitted. It is nil where there is none.
	limit func(field.Size) (string, error)
	// buffers says that it reads whole bodies to limit them.
	buffers bool
	// limitSays is what the documents say of it.
	limitSays string
}

// set is the characters that a text may have: letters, digits, marks, and what is
// percent-encoded, if it decodes to one of encoded. With % among the marks any may be.
// In a plain set % is a character as any other.
type set struct {
	marks, encoded string
	plain          bool
}

// refused returns the first character of a text that is not in the set as it is written
// there, a percent-encoded one with all bytes of it. It is empty if there is none.
func (s set) refused(text string) string {
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte(s.marks, c) >= 0:
		case c == '%' && s.encoded != "":
			b, ok := decoded(text[i:])
			if !ok || strings.IndexByte(s.encoded, b) < 0 {
				return written(text[i:])
			}
			i += 2
		case s.plain:
			return written(text[i : i+1])
		default:
			return written(text[i:])
		}
	}
	return ""
}

// written returns the character that a text begins with.
func written(text string) string {
	n := 0
	for {
		b, ok := decoded(text[n:])
		if !ok || n > 0 && b < 0x80 {
			break
		}
		if n += 3; b < 0x80 {
			break
		}
	}
	switch c := text[0]; {
	case n > 0:
		return text[:n]
	case '!' <= c && c <= '~':
		return string(c)
	case c == ' ':
		return "a blank"
	default:
		return fmt.Sprintf("%q", text[:1])
	}
}

// decoded returns the byte whose percent-encoding a text begins with.
func decoded(text string) (byte, bool) {
	if len(text) < 3 || text[0] != '%' {
		return 0, false
	}
	n, err := strconv.ParseUint(text[1:3], 16, 8)
	return byte(n), err == nil
}

// Marks of paths (RFC 3986, section 3.3) and of headers, as the kinds have them.
const (
	reserved  = "!$&'()*+,;=:@"
	pathMarks = "/-._~" + reserved
	nameMarks = "-!#$%&*+.^_|~"
	visible   = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
)

// without returns marks without some of them.
func without(marks, some string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(some, r) {
			return -1
		}
		return r
	}, marks)
}

// connection are the headers, in lower case, that belong to the connection or frame the
// body (RFC 9110, section 7.6.1). A proxy makes its own: Traefik drops what a route says
// of them (net/http/httputil, reverseproxy.go), and NGINX Gateway Fabric and Envoy send
// it, at the risk that a service reads another end of the request than they do.
var connection = []string{
	"connection", "content-length", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
}

var (
	anything = set{marks: pathMarks + "%"}
	named    = set{marks: nameMarks, plain: true}
	valued   = set{marks: visible + " \t", plain: true}
	// Envoy expands % in values, and takes nothing new for any route any more while one
	// value is malformed, which Envoy Gateway passes on.
	envoyValued = set{marks: without(visible, "%") + " \t", plain: true}
	// nginx matches the decoded path with what a route says, so that what is encoded
	// there matches nothing. NGINX Gateway Fabric refuses ; for nginx's configuration
	// (internal/controller/nginx/config/validation/common.go).
	nginxPath = set{marks: without(pathMarks, ";")}
)

// nginxRegex are the characters that a regular expression does not read as themselves.
// NGINX Gateway Fabric writes a path with a rewrite into one as it is, but for $ since
// v2.6 (internal/controller/nginx/config/servers.go, createMainRewriteForFilters): then
// nginx rewrites wrongly, or refuses all of the Gateway's configuration, everybody's.
// A dot stays one, because the location has matched the path before.
const nginxRegex = "()*+$"

// implementations are those that Baleen knows. One that is not here honours nothing.
var implementations = map[v1alpha1.Implementation]capabilities{
	v1alpha1.Traefik: {
		readFrom: "v3.6.12", least: "v3.6",
		// It accepts timeouts and ignores them.
		timeouts: false,
		longest:  traefikLongest,
		// Requests are matched with all decoded but what is reserved (pkg/muxer/http/mux.go,
		// withRoutingPath); / ? # and % are refused for all.
		path:        set{marks: pathMarks, encoded: reserved + "[]"},
		withMethods: set{marks: pathMarks, encoded: reserved + "[]"},
		// The prefix is cut from the path with all decoded, so that one with something
		// encoded stays there (pkg/middlewares/gatewayapi/urlrewrite/url_rewrite.go).
		withRewrite: set{marks: pathMarks},
		// And what it is rewritten to is encoded as Go does: % and ! ' ( ) * once more.
		rewrite: set{marks: without(pathMarks, "!'()*")},
		// Host is dropped until v3.7 (pkg/middlewares/gatewayapi/headermodifier). The proxy
		// appends the client to X-Forwarded-For after the route has changed it
		// (net/http/httputil, reverseproxy.go). Other X-Forwarded-* and X-Real-IP are set
		// before (pkg/middlewares/forwardedheaders), so a route can change them.
		fixed: []string{"host", "x-forwarded-for"},
		// Go's transport asks for gzip by itself if nobody does (pkg/server/service/transport.go
		// leaves DisableCompression alone).
		kept: []string{"accept-encoding"},
		name: named, value: valued,
		limit: traefikLimit, buffers: true, limitSays: "`Middleware`, only where asked for: it buffers requests and responses",
	},
	v1alpha1.NGINXGatewayFabric: {
		readFrom: "v2.6.7", least: "v2.3",
		path:        nginxPath,
		withMethods: nginxPath,
		withRewrite: set{marks: without(nginxPath.marks, nginxRegex)},
		breaks:      nginxRegex,
		// nginx encodes what a path is rewritten to, so % arrives as %25; it refuses $.
		rewrite: set{marks: without(nginxPath.marks, "$")},
		// A path with methods is reached by an internal redirect, and the rewrite is then
		// of the path as the client wrote it: //, %6d and .. get past it (servers.go,
		// createRewritesValForRewriteFilter).
		notBoth: true,
		// internal/controller/nginx/config/validation/http_njs_match.go
		notMethods: []target.Method{"CONNECT", "TRACE"},
		// internal/controller/nginx/config/validation/common.go, invalidHeaders. And nginx takes
		// the answer 100 to a header Expect for the service's whole response.
		fixed: []string{"host", "expect"},
		name:  set{marks: "-", plain: true},
		// Of these it refuses " and $, and \ changes the character after it.
		value: set{marks: without(visible, `"$\`) + " \t", plain: true},
		// servers.go, createBaseProxySetHeaders: what a route says replaces a header of
		// exactly this name.
		exact: map[string]string{
			"x-forwarded-for": "X-Forwarded-For", "x-forwarded-host": "X-Forwarded-Host", "x-forwarded-port": "X-Forwarded-Port", "x-forwarded-proto": "X-Forwarded-Proto", "x-real-ip": "X-Real-IP",
		},
		// internal/controller/nginx/config/split_clients.go
		zeroFirst: true,
		limit:     nginxLimit, limitSays: "`ClientSettingsPolicy`, always: its own default of 1 MiB is written out",
	},
	v1alpha1.EnvoyGateway: {
		readFrom: "v1.9.1", least: "v1.9",
		timeouts: true,
		// Envoy compares paths as they are written, but that it decodes what is unreserved;
		// so does httppath, which writes the rest in upper case, as clients mostly do.
		path: anything, withMethods: anything, withRewrite: anything, rewrite: anything,
		// The / of a rewritten prefix is replaced too: /users arrives as /v1users, also if
		// rewritePrefix ends with /, which is cut off. To / it is right
		// (internal/xds/translator/route.go, buildXdsURLRewriteAction).
		notRoot: true,
		// Envoy reads x-envoy-* of a route as requests to itself, such as retries, and takes
		// them away (source/common/router/router.cc). It sets x-forwarded-* before routes do.
		fixed: []string{"host", "x-envoy-*"},
		name:  named, value: envoyValued, oneBlank: true,
		limit: envoyLimit, buffers: true, limitSays: "`BackendTrafficPolicy`, only where asked for: it buffers requests",
	},
	// Nothing is known of it, so what the standard channel offers is emitted; it may be
	// made of Envoy.
	v1alpha1.Standard: {
		timeouts: true,
		path:     anything, withMethods: anything, withRewrite: anything, rewrite: anything,
		fixed: []string{"host"},
		name:  named, value: envoyValued,
		limitSays: "refused",
	},
}

// Refusal says to an owner what an implementation does not honour, and what to do.
type Refusal struct {
	Message string
	// Withdraw says that what is published like this harms others, and so must go. All
	// else fails its owner alone, and stays as it was last accepted.
	Withdraw bool
}

func (r *Refusal) Error() string { return r.Message }

func refuse(format string, args ...any) error { return &Refusal{Message: fmt.Sprintf(format, args...)} }

// Withdraws reports whether an error is a refusal of what must not stay published.
func Withdraws(err error) bool {
	var r *Refusal
	return errors.As(err, &r) && r.Withdraw
}

func unknown(i v1alpha1.Implementation) error {
	return refuse("nothing is known of the implementation %s: ask the platform team to set spec.gateway.implementation to one that Baleen knows", field.Quote(string(i)))
}

// HonoursTimeout reports whether an implementation honours a route's timeouts.
func HonoursTimeout(i v1alpha1.Implementation) bool { return implementations[i].timeouts }

// HonoursHeader returns an error for the owner, a Refusal, if an implementation does not
// set a header to a value as it is, or does not remove it if there is no value.
func HonoursHeader(i v1alpha1.Implementation, name, value string) error {
	of, ok := implementations[i]
	if !ok {
		return unknown(i)
	}
	lower := strings.ToLower(name)
	switch {
	case slices.Contains(connection, lower):
		return refuse("spec.requestHeaders: a route cannot change the header %s, which belongs to the connection and not to the request: leave it out", field.Quote(name))
	case among(of.fixed, lower):
		return refuse("spec.requestHeaders: %s cannot have a change of the header %s: leave it out", i, field.Quote(name))
	case value == "" && among(of.kept, lower):
		return refuse("spec.requestHeaders: %s cannot remove the header %s: leave it out, or set it", i, field.Quote(name))
	}
	if c := of.name.refused(name); c != "" {
		return refuse("spec.requestHeaders: %s cannot have %s in the name of the header %s: leave it out", i, c, field.Quote(name))
	}
	if c := of.value.refused(value); c != "" {
		return refuse("spec.requestHeaders: %s cannot have %s in the value of the header %s: leave it out", i, c, field.Quote(name))
	}
	if of.oneBlank && blanks.MatchString(value) {
		return refuse("spec.requestHeaders: %s cannot have two blanks in a row in the value of the header %s: leave one out", i, field.Quote(name))
	}
	return nil
}

var blanks = regexp.MustCompile(`[\t ]{2}`)

func among(names []string, lower string) bool {
	return slices.ContainsFunc(names, func(n string) bool {
		prefix, any := strings.CutSuffix(n, "*")
		return n == lower || any && strings.HasPrefix(lower, prefix)
	})
}

// HeaderName returns the name by which a route changes a header: that which the
// implementation uses itself, if it tells names apart by case, else the given one.
func HeaderName(i v1alpha1.Implementation, name string) string {
	return cmp.Or(implementations[i].exact[strings.ToLower(name)], name)
}

// Backends returns the backends in the order in which an implementation keeps to their
// weights.
func Backends(i v1alpha1.Implementation, backends []target.Backend) []target.Backend {
	if !implementations[i].zeroFirst {
		return backends
	}
	none := func(b target.Backend) int {
		if b.Weight != nil && *b.Weight == 0 {
			return 0
		}
		return 1
	}
	return slices.SortedStableFunc(slices.Values(backends), func(a, b target.Backend) int { return none(a) - none(b) })
}

// Route is what a target asks of one path: the path as it is emitted, what its prefix is
// rewritten to, and the methods. The last two may be empty.
type Route struct {
	Path, Rewrite string
	Exact         bool
	Methods       []target.Method
}

// HonoursPath returns an error for the owner, a Refusal, if an implementation does not
// serve a path as it is asked for.
func HonoursPath(i v1alpha1.Implementation, r Route) error {
	of, ok := implementations[i]
	if !ok {
		return unknown(i)
	}
	if at := strings.IndexAny(r.Path, of.breaks); r.Rewrite != "" && at >= 0 {
		return &Refusal{
			Withdraw: true,
			Message:  fmt.Sprintf("%s reads %s in a path with rewritePrefix as a regular expression: publish a path without it, or leave rewritePrefix out", i, written(r.Path[at:])),
		}
	}
	if of.longest > 0 && len(r.Path) > of.longest && !r.Exact {
		return &Refusal{
			Withdraw: true,
			Message:  fmt.Sprintf("%s would prefer a prefix of %d bytes to exact paths: at most %d are allowed", i, len(r.Path), of.longest),
		}
	}
	if c := of.path.refused(r.Path); c != "" {
		return refuse("%s does not serve paths with %s: publish one without it", i, c)
	}
	if c := of.withMethods.refused(r.Path); len(r.Methods) > 0 && c != "" {
		return refuse("%s does not serve paths with %s and methods: publish a path without it, or leave methods out", i, c)
	}
	for _, m := range r.Methods {
		if slices.Contains(of.notMethods, m) {
			return refuse("%s does not serve the method %s: leave it out", i, m)
		}
	}
	if r.Rewrite == "" {
		return nil
	}
	if c := of.withRewrite.refused(r.Path); c != "" {
		return refuse("%s does not serve paths with %s and rewritePrefix: publish a path without it, or leave rewritePrefix out", i, c)
	}
	if c := of.rewrite.refused(r.Rewrite); c != "" {
		return refuse("%s cannot rewrite to a path with %s: choose a rewritePrefix without it", i, c)
	}
	if of.notBoth && len(r.Methods) > 0 {
		return refuse("%s does not serve methods together with rewritePrefix: leave one of them out", i)
	}
	if of.notRoot && r.Path == "/" && r.Rewrite != "/" {
		return refuse("%s cannot rewrite the path / to %s, because /a would arrive as %sa: publish a longer path, or leave rewritePrefix out", i, r.Rewrite, strings.TrimSuffix(r.Rewrite, "/"))
	}
	return nil
}

// BodyLimit returns the limit to emit for a path in the form that the
// implementation's object has it: bytes for Traefik, a quantity for Envoy
// Gateway, a size of nginx for NGINX Gateway Fabric. It is empty where none is
// to be emitted. The error is for the path's owner.
func BodyLimit(i v1alpha1.Implementation, limit field.Size) (string, error) {
	of, ok := implementations[i]
	switch {
	case ok && of.limit != nil:
		return of.limit(limit)
	case limit == "":
		return "", nil
	case !ok:
		return "", unknown(i)
	}
	return "", refuse("the implementation %s has no limit for request bodies: leave out maxRequestBodySize", i)
}

// Buffers reports whether an implementation reads whole request bodies to limit them.
func Buffers(i v1alpha1.Implementation) bool { return implementations[i].buffers }

// traefikLimit is none unless it is asked for, as with Envoy Gateway: both buffer whole
// bodies to limit them.
func traefikLimit(limit field.Size) (string, error) {
	if limit == "" {
		return "", nil
	}
	return fmt.Sprint(limit.Bytes()), nil
}

func envoyLimit(limit field.Size) (string, error) {
	if limit.Bytes() >= 4<<30 { // it counts in 32 bits
		return "", refuse("body limits of Envoy Gateway are below 4Gi: ask for less than %s", limit)
	}
	return string(limit), nil
}

// nginxDefault is NGINX Gateway Fabric's own limit. It is always emitted, so that
// what holds can be read and does not change with an upgrade.
const nginxDefault field.Size = "1Mi"

// nginxLimit writes a size as nginx does, in at most four digits of bytes or of
// binary k, m or g.
func nginxLimit(limit field.Size) (string, error) {
	limit = cmp.Or(limit, nginxDefault)
	n, suffix := limit.Bytes(), ""
	for _, unit := range []string{"k", "m", "g"} {
		if n%1024 != 0 {
			break
		}
		n, suffix = n/1024, unit
	}
	if n > 9999 {
		return "", refuse("NGINX Gateway Fabric cannot express the body limit %s exactly: use a whole number of Ki, Mi or Gi up to 9999", limit)
	}
	return fmt.Sprint(n) + suffix, nil
}
