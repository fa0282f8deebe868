package gateway

import (
	"iter"
	"slices"
	"strings"

	"github.com/baleen-platform/baleen/internal/claim"
	"github.com/baleen-platform/baleen/internal/httppath"
	"github.com/baleen-platform/baleen/promises/api-aggregator/v1alpha1"
)

// Methods are those that a route of the Gateway API can match.
var Methods = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"}

// anyMethod stands for a match without a method.
const anyMethod = ""

// everything is each method and whatever else there is.
var everything = slices.Concat([]string{anyMethod}, Methods)

// Answer is what becomes of the requests that a rule matches.
type Answer string

// The answers of rules. Serve: the backends. Refuse: nobody, by the object with
// which the implementation refuses. Nothing: nobody, by a rule without backends.
const (
	Serve   Answer = "Serve"
	Refuse  Answer = "Refuse"
	Nothing Answer = "Nothing"
)

// Rule is one rule of an HTTPRoute: it has a match for each of the methods, "" for
// whatever the method is.
type Rule struct {
	Methods []string
	Answer  Answer
}

// Asked is what a path's owner asks for, as far as it decides about the rules.
type Asked struct {
	// Methods are let through; none means all.
	Methods []string
	// Rewrites: of the prefix something else is made. Such a rule may have one match
	// only, as the Gateway API has it.
	Rewrites bool
	// Contested: the aggregator closes this very prefix, see [Closings].
	Contested bool
	// Extended: the rules that serve refer to an object beside the route.
	Extended bool
}

// Rules returns the rules of a path's route, so that its owner gets its requests and
// nobody else does, whatever other routes there are for the host. Of those whose
// method is not let through none may fall to the owner of a wider prefix.
func Rules(i v1alpha1.Implementation, a Asked) []Rule {
	switch i {
	case v1alpha1.Traefik:
		return traefikRules(a)
	case v1alpha1.NGINXGatewayFabric:
		return nginxRules(a)
	default:
		return standardRules(i, a)
	}
}

// traefikRules are for a router that adds up points: 100 for each character of a
// prefix, 1000 for a method. So that the longer prefix wins, each path has a rule for
// each method and one without. In one route an earlier rule has a point more: the
// rules that serve come first, and at least two behind them, which makes them win
// against those of [Closings].
//
// A rule that refers to an object which is not there (yet) is left out by Traefik.
// Then the last rule answers, which refers to nothing.
func traefikRules(a Asked) []Rule {
	open, closed := split(a)
	listed := len(a.Methods) > 0 // if it lists all that have a name, there are others
	var rules []Rule
	switch {
	case listed:
		rules = append(rulesOf(a, open), Rule{slices.Concat([]string{anyMethod}, closed), Refuse})
	case a.Contested:
		rules = append(rulesOf(a, open), Rule{[]string{anyMethod}, Serve})
	default:
		rules = rulesOf(a, everything)
	}
	if listed || a.Contested || a.Extended {
		rules = append(rules, Rule{everything, Nothing})
	}
	return rules
}

// traefikLongest is the length of a prefix, in bytes, from which on its points would
// be more than the 100,000 of an exact path: 10,000 for being a prefix, 100 for each
// byte, 1,000 for the method and up to 16 for its place in the route.
const traefikLongest = 889

// nginxRules: NGINX Gateway Fabric looks for the path alone, and answers 404 where the
// method has no rule.
func nginxRules(a Asked) []Rule {
	if len(a.Methods) == 0 {
		return []Rule{{[]string{anyMethod}, Serve}}
	}
	return single(a.Methods)
}

// standardRules: a match with a method goes before one without, for the same path
// alone. So the rule without a method gets what is not let through. What the aggregator
// closes has older matches without a method, which win against younger ones: there each
// method is named.
func standardRules(i v1alpha1.Implementation, a Asked) []Rule {
	switch {
	case len(a.Methods) > 0 && i == v1alpha1.EnvoyGateway:
		return append(single(a.Methods), Rule{[]string{anyMethod}, Refuse})
	case len(a.Methods) > 0:
		return append(single(a.Methods), Rule{[]string{anyMethod}, Nothing})
	case a.Contested:
		return append(rulesOf(a, Methods), Rule{[]string{anyMethod}, Serve})
	}
	return []Rule{{[]string{anyMethod}, Serve}}
}

// split returns the methods that are let through and those that are not.
func split(a Asked) (open, closed []string) {
	for _, m := range Methods {
		if len(a.Methods) == 0 || slices.Contains(a.Methods, m) {
			open = append(open, m)
		} else {
			closed = append(closed, m)
		}
	}
	return open, closed
}

// rulesOf returns rules that serve some methods, as few as there can be.
func rulesOf(a Asked, methods []string) []Rule {
	if a.Rewrites {
		return single(methods)
	}
	return []Rule{{methods, Serve}}
}

func single(methods []string) []Rule {
	var rules []Rule
	for _, m := range methods {
		rules = append(rules, Rule{[]string{m}, Serve})
	}
	return rules
}

// A route may have 128 matches in all, and 64 in one rule.
const maxMatches, maxMatchesOfRule = 128, 64

// Closing is an HTTPRoute that serves nobody, so that what is delegated and not
// published yet does not fall to the owner of a wider prefix. Each rule has a match for
// each of its prefixes and methods.
type Closing []ClosedRule

// ClosedRule has a match for each of its prefixes with each of its methods, "" for
// whatever the method is.
type ClosedRule struct {
	Prefixes, Methods []string
}

// ClosesWhatIsFree reports whether prefixes are closed only as long as nobody has them.
// With NGINX Gateway Fabric the older of two routes for one prefix wins, whatever its
// methods. A request that gets or leaves such a prefix has its aggregator run.
func ClosesWhatIsFree(i v1alpha1.Implementation) bool { return i == v1alpha1.NGINXGatewayFabric }

// Closed returns the delegated prefixes, in the form in which they are emitted, that
// nobody gets until somebody publishes them, given all claims of the host's paths. There
// is nothing wider than /, which so needs not be closed. With Traefik routes below a
// prefix that do not name all methods yet would be closed, too: see [FactRules].
func Closed(a *v1alpha1.ApiAggregator, claims []claim.Claim) []string {
	var closed []string
	for prefix := range delegated(a) {
		switch i := a.Spec.Gateway.Implementation; {
		case ClosesWhatIsFree(i) && slices.ContainsFunc(claims, func(c claim.Claim) bool {
			return c.State == claim.Held && c.Resource.Key == prefix.Key && c.Facts[FactType] == "Prefix"
		}):
		case waitsFor(a, claims, prefix) != nil:
		default:
			closed = append(closed, strings.TrimSuffix(prefix.Value, "/"))
		}
	}
	return closed
}

// Waiting yields the delegated prefixes that are not closed yet, each with the claim of a
// path whose routes must change before.
func Waiting(a *v1alpha1.ApiAggregator, claims []claim.Claim) iter.Seq2[string, claim.Claim] {
	return func(yield func(string, claim.Claim) bool) {
		for prefix := range delegated(a) {
			if c := waitsFor(a, claims, prefix); c != nil && !yield(prefix.Value, *c) {
				return
			}
		}
	}
}

func waitsFor(a *v1alpha1.ApiAggregator, claims []claim.Claim, prefix httppath.Path) *claim.Claim {
	if a.Spec.Gateway.Implementation != v1alpha1.Traefik {
		return nil
	}
	return Behind(claims, prefix.Key, claim.Owner{})
}

// delegated yields the delegated prefixes that can be closed.
func delegated(a *v1alpha1.ApiAggregator) iter.Seq[httppath.Path] {
	return func(yield func(httppath.Path) bool) {
		for _, d := range a.Spec.Delegations {
			prefix, err := httppath.Parse(d.Prefix)
			if err != nil || prefix.Key == "/" || Delegable(a.Spec.Gateway.Implementation, d.Prefix) != nil {
				continue
			}
			if !yield(prefix) {
				return
			}
		}
	}
}

// Closings returns the routes that close prefixes: as few as there can be. A target
// that publishes one of them wins, see [Rules].
func Closings(i v1alpha1.Implementation, prefixes []string) []Closing {
	methods := []string{anyMethod}
	if i == v1alpha1.Traefik { // or a shorter prefix with a method would win
		methods = everything
	}
	rules := maxMatches / maxMatchesOfRule
	var closings []Closing
	for chunk := range slices.Chunk(prefixes, rules*(maxMatchesOfRule/len(methods))) {
		var closing Closing
		for some := range slices.Chunk(chunk, maxMatchesOfRule/len(methods)) {
			closing = append(closing, ClosedRule{some, methods})
		}
		closings = append(closings, closing)
	}
	return closings
}

// Delegable returns an error for the aggregator's owner if nobody can publish a prefix
// with an implementation, because it is reserved or for its characters or its length: it
// could not be closed either.
func Delegable(i v1alpha1.Implementation, prefix string) error {
	path, err := httppath.Parse(prefix)
	if err != nil {
		return err
	}
	if err := Reserved(Terms{Implementation: i}, path.Key, true); err != nil {
		return err
	}
	return HonoursPath(i, Route{Path: path.Value})
}
