// Package churn counts former credentials: those that nobody is to use any more, before
// they expire. Each takes room in its account, as a revocation, until then, and that room
// is the same for all who draw from the account. So each namespace has a bound, and one
// count for each account: a ConfigMap in baleen-state with how many expire on which day.
// It has one size however much is counted, and empties by itself.
//
// What a request takes out of use is counted before, so that a crash counts too much. The
// account's run counts anew, with what it has retired itself.
package churn

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/baleen-platform/baleen/internal/credential"
	"github.com/baleen-platform/baleen/internal/identity"
	"github.com/baleen-platform/baleen/internal/ledger"
	"github.com/baleen-platform/baleen/internal/platform"
)

// Days are how many former credentials expire on which day, as days since 1970 in UTC.
type Days map[int64]int

func dayOf(t time.Time) int64 { return t.Unix() / (24 * 60 * 60) }

// Former are the former credentials of an account among some records of one request: what
// is revoked or to be revoked, and what will be once its successor was delivered. What a
// key of the platform team's has replaced is nobody's churn, and is not among them. Pure.
func Former(account string, records []ledger.Record, now time.Time) Days {
	days := Days{}
	successors := credential.Successors(records)
	for i := range records {
		if r := &records[i]; r.Basis.Account == account && r.User != "" && now.Before(r.Expires) && isFormer(r, successors[i]) {
			days[dayOf(r.Expires)]++
		}
	}
	return days
}

func isFormer(r *ledger.Record, successor credential.Reason) bool {
	switch {
	case successor == credential.SigningKeyChanged:
		return false
	case r.State == ledger.Retiring, r.State == ledger.Retired && !r.Revoked.IsZero():
		return true
	}
	return successor != "" && r.State == ledger.Active
}

// Left is how many have not expired.
func (d Days) Left(now time.Time) int {
	n := 0
	for day, count := range d {
		if day >= dayOf(now) {
			n += count
		}
	}
	return n
}

// And is what is in these days and in others.
func (d Days) And(more Days) Days {
	all := maps.Clone(d)
	if all == nil {
		all = Days{}
	}
	for day, n := range more {
		all[day] += n
	}
	return all
}

// More is what is in these days and was not in others.
func (d Days) More(than Days) Days {
	more := Days{}
	for day, n := range d {
		if n > than[day] {
			more[day] = n - than[day]
		}
	}
	return more
}

// Most is the larger number of each day.
func (d Days) Most(other Days) Days {
	return d.And(other.More(d))
}

// after returns the days from now on.
func (d Days) after(now time.Time) Days {
	left := maps.Clone(d)
	maps.DeleteFunc(left, func(day int64, n int) bool { return day < dayOf(now) || n <= 0 })
	return left
}

// Count is how many former credentials one namespace has in one account.
type Count struct {
	Account, Namespace string
	Days
	version string
	// foreign: what lies in its place is about something else. The account's run puts that
	// right.
	foreign bool
}

// TooManyError tells that a namespace may have no more former credentials by request.
type TooManyError struct {
	Count
	Most int
}

func (e *TooManyError) Error() string {
	return fmt.Sprintf("the namespace %s would have more than %d former credentials of NatsAccount %s that have not expired", e.Namespace, e.Most, e.Account)
}

// IsTooMany reports whether an error is a [TooManyError].
func IsTooMany(err error) bool {
	_, is := errors.AsType[*TooManyError](err)
	return is
}

// Store reads and writes counts.
type Store struct{ Client platform.Client }

// Get returns a count, an empty one if there is none.
func (s Store) Get(ctx context.Context, account, namespace string) (Count, error) {
	object, err := s.Client.Get(ctx, platform.ConfigMap, ledger.Namespace, name(account, namespace))
	if apierrors.IsNotFound(err) {
		return Count{Account: account, Namespace: namespace, Days: Days{}}, nil
	}
	if err != nil {
		return Count{}, fmt.Errorf("the count of former credentials of %s in NatsAccount %s cannot be read: %w", namespace, account, err)
	}
	return decode(object, account, namespace), nil
}

// Of returns the counts of an account.
func (s Store) Of(ctx context.Context, account string) ([]Count, error) {
	objects, err := s.Client.List(ctx, platform.ConfigMap, ledger.Namespace, map[string]string{label: labelOf(account)})
	if err != nil {
		return nil, fmt.Errorf("the counts of former credentials in NatsAccount %s cannot be listed: %w", account, err)
	}
	var counts []Count
	for _, o := range objects {
		namespace, _, _ := unstructured.NestedString(o.Object, "data", "namespace")
		if o.GetName() == name(account, namespace) { // else it is no count, or that of another account
			counts = append(counts, decode(&o, account, namespace))
		}
	}
	return counts, nil
}

// Charge adds what is about to be taken out of use. If that is more than most, which is
// no bound where it is 0, it adds nothing and returns a [TooManyError].
func (s Store) Charge(ctx context.Context, account, namespace string, more Days, most int, now time.Time) error {
	return platform.OnCrowd(ctx, isConflict, func() error {
		c, err := s.Get(ctx, account, namespace)
		if err != nil {
			return err
		}
		if c.foreign { // which holds up nobody
			return nil
		}
		c.Days = c.Days.And(more)
		if most > 0 && c.Left(now) > most {
			return &TooManyError{c, most}
		}
		return s.save(ctx, c, now)
	})
}

// Refund takes away what was charged and came to nothing.
func (s Store) Refund(ctx context.Context, account, namespace string, less Days, now time.Time) error {
	return platform.OnCrowd(ctx, isConflict, func() error {
		c, err := s.Get(ctx, account, namespace)
		if err != nil || len(c.Days) == 0 || c.foreign {
			return err
		}
		c.Days = c.Days.More(less)
		return s.save(ctx, c, now)
	})
}

// Recount puts another number in the place of a count, unless somebody has changed it
// since it was read: then the next run does so. What is counted then, and in no ledger yet,
// may be missing until the next run.
func (s Store) Recount(ctx context.Context, c Count, days Days, now time.Time) error {
	left := days.after(now)
	if over := c.version != "" && len(left) == 0; maps.Equal(c.Days.after(now), left) && !over {
		return nil
	}
	if c.version == "" {
		was, err := s.Get(ctx, c.Account, c.Namespace)
		if err != nil || was.version != "" && !was.foreign {
			return err
		}
		c.version = was.version
	}
	c.Days = days
	if err := s.save(ctx, c, now); !isConflict(err) {
		return err
	}
	return nil
}

func isConflict(err error) bool {
	return apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) || apierrors.IsNotFound(err)
}

// save writes a count as it was read and changed.
func (s Store) save(ctx context.Context, c Count, now time.Time) (err error) {
	switch object := encode(c, now); {
	case c.version == "":
		_, err = s.Client.Create(ctx, platform.ConfigMap, object)
	case len(c.Days.after(now)) == 0:
		err = s.Client.Delete(ctx, platform.ConfigMap, ledger.Namespace, object.GetName(), platform.Preconditions{ResourceVersion: c.version})
	default:
		_, err = s.Client.Update(ctx, platform.ConfigMap, object)
	}
	if err == nil {
		return nil
	}
	return fmt.Errorf("the count of former credentials of %s in NatsAccount %s cannot be written to the namespace %s: %w", c.Namespace, c.Account, ledger.Namespace, err)
}

// label is that by which an account finds its counts.
const label = "baleen.dev/churn"

func labelOf(account string) string { return identity.Hash("NatsAccount", account) }

func name(account, namespace string) string {
	return "churn-" + identity.Request{Kind: "NatsAccount", Namespace: namespace, Name: account}.LongHash()
}

// What a ConfigMap holds of a count: a day and a number on each line, so that people can
// read them.
func encode(c Count, now time.Time) *unstructured.Unstructured {
	days := c.Days.after(now)
	var lines strings.Builder
	for _, day := range slices.Sorted(maps.Keys(days)) {
		fmt.Fprintf(&lines, "%s %d\n", time.Unix(day*24*60*60, 0).UTC().Format(time.DateOnly), days[day])
	}
	metadata := map[string]any{
		"name": name(c.Account, c.Namespace), "namespace": ledger.Namespace,
		"labels": map[string]any{"app.kubernetes.io/managed-by": "baleen", label: labelOf(c.Account)},
	}
	if c.version != "" {
		metadata["resourceVersion"] = c.version
	}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata,
		"data": map[string]any{"account": c.Account, "namespace": c.Namespace, "days": lines.String()},
	}}
}

// decode reads a count. A line that says nothing counts nothing: the account's run counts
// anew.
func decode(object *unstructured.Unstructured, account, namespace string) Count {
	c := Count{Account: account, Namespace: namespace, Days: Days{}, version: object.GetResourceVersion()}
	of, _, _ := unstructured.NestedString(object.Object, "data", "namespace")
	if c.foreign = of != namespace; c.foreign {
		return c
	}
	text, _, _ := unstructured.NestedString(object.Object, "data", "days")
	for line := range strings.Lines(text) {
		date, number, _ := strings.Cut(strings.TrimSpace(line), " ")
		day, err := time.Parse(time.DateOnly, date)
		n, wrong := strconv.Atoi(number)
		if err == nil && wrong == nil && n > 0 {
			c.Days[dayOf(day)] += n
		}
	}
	return c
}
