package natsaccount

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/baleen-platform/baleen/internal/churn"
	"github.com/baleen-platform/baleen/internal/field"
	"github.com/baleen-platform/baleen/internal/workflow"
	"github.com/baleen-platform/baleen/promises/nats-account/v1alpha1"
)

// formers are how many former credentials each namespace has, by the ledgers. Nothing that
// is left to expire takes any room. Pure.
func formers(in inputs, now time.Time) map[string]churn.Days {
	all := map[string]churn.Days{}
	if in.admin.CannotRevoke() != "" {
		return all
	}
	for _, l := range in.ledgers {
		if days := churn.Former(in.account.Name, l.Records, now); len(days) > 0 {
			all[l.Request.Namespace] = all[l.Request.Namespace].And(days)
		}
	}
	return all
}

// recount corrects the counts that requests have kept, which a run that was killed has
// left too high. Where not all ledgers can be read, none is made lower. What a request has
// counted since the counts were read is left to the next run.
func recount(ctx context.Context, run *workflow.Run, in inputs, former map[string]churn.Days) error {
	store := churn.Store{Client: run.Platform}
	counts := map[string]churn.Count{}
	for _, c := range in.counts {
		counts[c.Namespace] = c
	}
	for namespace := range former {
		if _, has := counts[namespace]; !has {
			counts[namespace] = churn.Count{Account: in.account.Name, Namespace: namespace}
		}
	}
	for namespace, c := range counts {
		days := former[namespace]
		if in.damaged != nil {
			days = c.Days.Most(days)
		}
		if err := store.Recount(ctx, c, days, run.Now); err != nil {
			return err
		}
	}
	return nil
}

// uncount removes the counts of an account that is being deleted: nobody asks for them any
// more, and one of its name counts anew.
func uncount(ctx context.Context, run *workflow.Run) error {
	store := churn.Store{Client: run.Platform}
	counts, err := store.Of(ctx, run.Identity.Name)
	for _, c := range counts {
		if err == nil {
			err = store.Recount(ctx, c, nil, run.Now)
		}
	}
	return err
}

// reportFormer says which namespaces have the most former credentials, and which of them
// get no other on request.
func reportFormer(result *workflow.Result, in inputs, former map[string]churn.Days, now time.Time) {
	most := in.account.Spec.Policy.FormerBound()
	var all []v1alpha1.FormerStatus
	var over []string
	for _, namespace := range slices.Sorted(maps.Keys(former)) {
		n := former[namespace].Left(now)
		all = append(all, v1alpha1.FormerStatus{Namespace: namespace, Count: int64(n)})
		if n >= most {
			over = append(over, namespace)
		}
	}
	if len(all) == 0 {
		return
	}
	slices.SortStableFunc(all, func(a, b v1alpha1.FormerStatus) int { return cmp.Compare(b.Count, a.Count) })
	result.Status["former"] = all[:min(len(all), maxNames)]
	if len(over) > 0 {
		result.Note(fmt.Sprintf("%s with %d former credentials that have not expired, the most that spec.policy.maxFormer admits: %s; no credential is made there on request, so see to what is rotated or deleted so often, or raise maxFormer",
			field.Count(len(over), "namespace"), most, strings.Join(over[:min(len(over), maxNames)], ", ")))
	}
}
