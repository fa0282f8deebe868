package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/baleen-platform/baleen/internal/config"
	"github.com/baleen-platform/baleen/internal/field"
	"github.com/baleen-platform/baleen/internal/identity"
	"github.com/baleen-platform/baleen/internal/kratix"
	"github.com/baleen-platform/baleen/internal/ledger"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/term"
	"github.com/baleen-platform/baleen/internal/workflow"
)

// credentialsFlags are what `baleen credentials` is asked.
type credentialsFlags struct {
	platform         platformFlags
	output           outputFlag
	scope            scopeFlags
	attention        attentionFlags
	account, cluster string
	all              bool
	at               string
}

func credentialsCommand() *cobra.Command {
	var f credentialsFlags
	cmd := &cobra.Command{
		Use:   "credentials",
		Short: "Show every NATS credential, those that need attention first",
		Example: `  baleen credentials
  baleen credentials --namespace team-a --cluster eu-1 --output wide
  baleen credentials --problems --exit-code`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := cmp.Or(f.output.check(), f.scope.check()); err != nil {
				return err
			}
			now, err := clock(f.at)
			if err != nil {
				return err
			}
			client, err := f.platform.open()
			if err != nil {
				return err
			}
			return f.run(cmd.Context(), client, now(), cmd.OutOrStdout())
		},
	}
	flags := cmd.Flags()
	f.platform.add(flags, "kubeconfig")
	f.output.add(flags)
	f.scope.add(flags)
	f.attention.add(flags)
	flags.StringVar(&f.account, "account", "", "show only the credentials of this `NatsAccount`")
	flags.StringVar(&f.cluster, "cluster", "", "show only the credentials on this `cluster`, by the name of its Destination, and the requests that may have one there")
	flags.BoolVar(&f.all, "all", false, "show retired credentials too")
	flags.StringVar(&f.at, "now", "", "`time` to judge by, as 2026-08-01T12:00:00Z (default: now)")
	return cmd
}

func (f credentialsFlags) run(ctx context.Context, client platform.Client, now time.Time, w io.Writer) error {
	found, failed := collectCredentials(ctx, client, now)
	if damaged := (*ledger.DamagedError)(nil); failed != nil && !errors.As(failed, &damaged) {
		return failed
	}
	matching := f.filter(found)
	shown := slices.DeleteFunc(slices.Clone(matching), func(r credentialRow) bool { return r.retired && !f.all })
	problems := false
	var names []string
	seen := map[string]bool{}
	for _, r := range shown {
		problems = problems || r.Attention != ""
		if id := r.Namespace + "/" + r.Name; !seen[id] {
			seen[id] = true
			names = append(names, objectName(platform.NatsUser, r.Name))
		}
	}
	err := f.output.print(w, shown, func() (err error) {
		switch {
		case len(found) == 0 && failed != nil: // which is all there is to say
		case len(found) == 0:
			_, err = fmt.Fprintln(w, "There are no credentials, and no NatsUser asks for one.")
		case len(matching) == 0:
			_, err = fmt.Fprintln(w, "No credential and no NatsUser matches what you asked for.")
		case len(shown) == 0:
			_, err = fmt.Fprintln(w, "No credential is in use: --all shows those that are retired.")
		default:
			err = writeCredentials(w, f.output.wide(), shown, now)
		}
		return err
	}, names...)
	return cmp.Or(err, failed, f.attention.exit(problems))
}

// filter returns the rows that are asked for. What is wrong with a request as a
// whole is not left out because it names no cluster.
func (f credentialsFlags) filter(rows []credentialRow) []credentialRow {
	clusters := map[string][]string{} // of the credentials, by request
	for _, r := range rows {
		if r.Destination != "" {
			clusters[r.Namespace+"/"+r.Name] = append(clusters[r.Namespace+"/"+r.Name], r.Destination)
		}
	}
	on := func(r credentialRow) bool {
		if f.cluster == "" || r.Destination != "" {
			return f.cluster == "" || r.Destination == f.cluster
		}
		has := clusters[r.Namespace+"/"+r.Name]
		return len(has) == 0 || slices.Contains(has, f.cluster)
	}
	return slices.DeleteFunc(slices.Clone(rows), func(r credentialRow) bool {
		of := f.account == "" || slices.Contains(strings.Split(r.Account, ", "), f.account)
		return !f.scope.has(r.Namespace) || !of || !on(r) || f.attention.problems && r.Attention == ""
	})
}

// credentialRow is one identity, or a request with what is wrong with it.
type credentialRow struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Account   string `json:"account"`
	// Destination, Generation and User are those of an identity; a request has none.
	Destination string    `json:"destination,omitempty"`
	Generation  int64     `json:"generation,omitempty"`
	User        string    `json:"user,omitempty"`
	Issued      time.Time `json:"issued,omitzero"`
	Expires     time.Time `json:"expires,omitzero"`
	Renews      time.Time `json:"renews,omitzero"`
	// Reason is why an identity was issued, or why a request is not ready.
	Reason string `json:"reason,omitempty"`
	// State is that of the ledger, or Unrevoked, or of a request one of Pending, NotReady, Failed, Forgotten,
	// Paused, Deleting, Missing and NoLedger.
	State string `json:"state"`
	// Attention is what is wrong, or empty.
	Attention string `json:"attention,omitempty"`

	retired bool // nobody can connect with it, and nothing is left to be done
}

// asked is a NatsUser and its ledger; either may be missing.
type asked struct {
	object   *unstructured.Unstructured
	ledger   *ledger.Ledger
	remedies remedies
	paused   *paused // nil if it is not
}

// collectCredentials returns all identities, and the requests that are not well,
// those that need attention first; with a [ledger.DamagedError] those that can be
// read.
func collectCredentials(ctx context.Context, client platform.Client, now time.Time) ([]credentialRow, error) {
	ledgers, failed := ledger.Store{Client: client}.All(ctx)
	if damaged := (*ledger.DamagedError)(nil); failed != nil && !errors.As(failed, &damaged) {
		return nil, failed
	}
	objects, err := kratix.Requests(ctx, client, platform.NatsUser)
	if err != nil {
		return nil, fmt.Errorf("the NatsUsers cannot be listed: %w", err)
	}
	settings, _ := config.Load(ctx, client) // one that is wrong shows in the requests
	promise := readPromise(ctx, client, "nats-user")
	requests, remedies := map[identity.Request]asked{}, remediesOn(client)
	for _, l := range ledgers {
		requests[l.Request] = asked{ledger: l, remedies: remedies}
	}
	for i, o := range objects {
		id := identity.Request{Kind: platform.NatsUser.Kind, Namespace: o.GetNamespace(), Name: o.GetName()}
		requests[id] = asked{object: &objects[i], ledger: requests[id].ledger, remedies: remedies, paused: pausedBy(&objects[i], promise)}
	}
	rows := []credentialRow{}
	for id, request := range requests {
		own := request.identities(now, settings.ReconcileInterval)
		if state, reason, attention := request.trouble(now); attention != "" {
			own = append(own, credentialRow{Account: request.accounts(), Reason: reason, State: state, Attention: attention})
		}
		for _, row := range own {
			row.Namespace, row.Name = id.Namespace, id.Name
			rows = append(rows, row)
		}
	}
	slices.SortFunc(rows, func(a, b credentialRow) int {
		well := func(r credentialRow) int {
			if r.Attention == "" {
				return 1
			}
			return 0
		}
		return cmp.Or(well(a)-well(b), strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name),
			strings.Compare(a.Destination, b.Destination), cmp.Compare(a.Generation, b.Generation))
	})
	return rows, failed
}

func (a asked) identities(now time.Time, interval time.Duration) []credentialRow {
	if a.ledger == nil {
		return nil
	}
	var rows []credentialRow
	for i := range a.ledger.Records {
		r := &a.ledger.Records[i]
		row := credentialRow{
			Account: r.Basis.Account, Destination: r.Destination, Generation: r.Generation, User: r.User,
			Issued: r.Issued.UTC(), Expires: r.Expires.UTC(), Renews: r.Renews.UTC(), Reason: r.Reason, State: string(r.State),
			retired: r.State == ledger.Retired && !r.Unrevoked(now) || r != a.ledger.Current(r.Destination) && !now.Before(r.Expires),
		}
		switch {
		case row.retired:
		case r.User == "" && r.State != ledger.Intended:
			row.Attention = fmt.Sprintf("the attempt to issue it failed: NatsAccount %s has not cleared up after it yet", row.Account)
		case r.Unrevoked(now):
			row.State, row.Attention = "Unrevoked", "it was retired, and can connect until it expires: nobody has revoked it"
		case r.State == ledger.Intended:
			row.Attention = "its issue is under way, or was given up: then the next run retires it"
		case r.State == ledger.Retiring:
			row.Attention = fmt.Sprintf("NatsAccount %s has not revoked it yet", row.Account)
		case !r.Revoked.IsZero():
			row.Attention = "somebody else has revoked it: the next run issues another"
		case a.object == nil:
			row.Attention = "its request is gone"
		case !now.Before(r.Expires):
			row.Attention = "expired, and not renewed: " + a.again()
		case !r.Renews.IsZero() && now.After(r.Renews.Add(interval)): // before that its turn has not come
			row.Attention = "its renewal is overdue: " + a.again()
		}
		rows = append(rows, row)
	}
	return rows
}

// again is what to do about what a run would mend.
func (a asked) again() string {
	if a.paused != nil {
		return a.paused.String()
	}
	return a.remedies.again
}

// remedies say what to do about a request that does not run.
type remedies struct{ first, again, configure, delete string }

// remediesOn returns the remedies of a platform; in a folder, nothing runs by itself.
func remediesOn(client platform.Client) remedies {
	if _, is := client.(*platform.Folder); is {
		return remedies{"run it with `baleen run`", "run it with `baleen run`", "`baleen run` shows why", "`baleen run --action delete` does it, or shows why not"}
	}
	return remedies{
		"see the log of its configure Job", "give its request the label " + kratix.LabelManualReconciliation + "=true", "see the log of its configure Job", "see the log of its delete Job",
	}
}

// trouble tells what is wrong with a request as a whole, in a word, the reason of
// its status and a sentence. The sentence is empty if nothing is.
func (a asked) trouble(now time.Time) (state, reason, attention string) {
	switch l := a.ledger; {
	case l != nil && l.Tombstone != nil && !l.Tombstone.Done:
		attention = "its deletion of " + l.Tombstone.At.UTC().Format(time.RFC3339) + " is not done"
		if n := l.Count(ledger.Retiring); n > 0 {
			attention += ": " + field.Count(n, "credential") + " still to be revoked"
		}
		return "Deleting", "", attention
	case a.object == nil && l.Tombstone != nil: // remembered for a while
		return "", "", ""
	case a.object == nil && l.MissingSince.IsZero():
		return "Missing", "", fmt.Sprintf("its request is gone: NatsAccount %s finds that out, and retires its credentials a day later", a.accounts())
	case a.object == nil:
		return "Missing", "", fmt.Sprintf("its request is gone, as was found out %s: NatsAccount %s retires its credentials a day later",
			l.MissingSince.UTC().Format(time.RFC3339), a.accounts())
	}
	message, _, _ := unstructured.NestedString(a.object.Object, "status", "message")
	switch peer := workflow.PeerOf(a.object, ""); {
	case a.paused != nil:
		return "Paused", string(peer.Reason), a.paused.String()
	case !peer.Deleting.IsZero():
		return "Deleting", "", "its deletion of " + peer.Deleting.UTC().Format(time.RFC3339) + " is not done: " + a.remedies.delete
	case peer.Reason == "":
		return "Pending", "", "no run has carried it out yet"
	case !peer.Ready:
		return "NotReady", string(peer.Reason), cmp.Or(message, "its status does not say why")
	case peer.IsForgotten(now):
		return "Forgotten", "", fmt.Sprintf("Kratix has forgotten its run of %s: the next run of NatsAccount %s asks for it again", peer.Begun.UTC().Format(time.RFC3339), a.accounts())
	case peer.Failed:
		return "Failed", "", "its last run failed: " + a.remedies.configure
	case a.ledger == nil:
		return "NoLedger", "", "its ledger is lost: the next run makes it again from what is delivered"
	}
	return "", "", ""
}

// accounts names the NatsAccount that is asked for, or those that were.
func (a asked) accounts() string {
	if a.object == nil {
		return strings.Join(a.ledger.Accounts(), ", ")
	}
	name, _, _ := unstructured.NestedString(a.object.Object, "spec", "accountRef", "name")
	return name
}

// writeCredentials writes a table of credentials; a wide one has the keys of users.
func writeCredentials(w io.Writer, wide bool, rows []credentialRow, now time.Time) error {
	head := titles("NAMESPACE", "NAME", "ACCOUNT", "DESTINATION", "GENERATION", "ISSUED", "EXPIRES", "RENEWS", "REASON", "STATE")
	for _, i := range []int{2, 4, 5, 8} {
		head[i].Fit = term.Drop
	}
	if wide {
		head = append(head, titles("USER")...)
	}
	cells := [][]term.Cell{append(head, term.Cell{Text: "ATTENTION", Style: term.Bold, Fit: term.Flow})}
	for _, r := range rows {
		generation, renews, expires := "", seen(r.Renews, now), seen(r.Expires, now)
		if r.Generation > 0 {
			generation = strconv.FormatInt(r.Generation, 10)
		}
		if !r.Renews.IsZero() && !now.Before(r.Renews) {
			renews = "due"
		}
		if r.retired && now.Before(r.Expires) {
			expires, renews = "-", "-" // it cannot connect any more, whatever its JWT says
		}
		row := []term.Cell{{Text: r.Namespace}, {Text: r.Name}}
		for _, text := range []string{r.Account, r.Destination, generation, seen(r.Issued, now), expires, renews, r.Reason} {
			row = append(row, term.Cell{Text: cmp.Or(text, "-")})
		}
		row = append(row, term.Cell{Text: r.State, Style: r.style()})
		if wide {
			row = append(row, term.Cell{Text: cmp.Or(r.User, "-")})
		}
		cells = append(cells, append(row, term.Cell{Text: r.Attention}))
	}
	return writeTable(w, wide, cells)
}

// style is how the state is shown.
func (r credentialRow) style() term.Style {
	switch {
	case r.retired:
		return term.Dim
	case slices.Contains([]string{string(ledger.Intended), string(ledger.Retiring), "Pending", "Paused", "Deleting"}, r.State):
		return term.Yellow
	case r.Attention != "":
		return term.Red
	}
	return term.Green
}

// seen writes a time as people count it, such as "in 12d" and "3h ago".
func seen(t, now time.Time) string {
	switch {
	case t.IsZero():
		return ""
	case now.Before(t):
		return "in " + duration.HumanDuration(t.Sub(now))
	}
	return duration.HumanDuration(now.Sub(t)) + " ago"
}
