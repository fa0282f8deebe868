package natsaccount

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/baleen-platform/baleen/internal/claim"
	"github.com/baleen-platform/baleen/internal/credential"
	"github.com/baleen-platform/baleen/internal/ledger"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/workflow"
)

const (
	// missingGrace is how long a request may be missing before its credentials are
	// revoked: a restore may bring the ledger back before the request.
	missingGrace = 24 * time.Hour
	// memory is how long a tombstone stays.
	memory = 24 * time.Hour
)

// retireGone retires what belongs to requests that cannot end themselves: deleted
// by force, or in a namespace that terminates, where no Job runs.
func retireGone(ctx context.Context, run *workflow.Run, in *inputs) error {
	var left []*ledger.Ledger
	for _, l := range in.ledgers {
		switch s, u := stateOf(l, in.all, run.Now); s {
		case alive:
			l.MissingSince = time.Time{}
		default:
			if s == stuck && u.retain && u.account != in.account.Name { // whether that counts, its own account knows
				left = append(left, l)
				continue
			}
			markMissing(l, s, !u.retain || in.account.Spec.Policy.RefuseRetain, run.Now)
		}
		err := in.store.Save(ctx, l)
		if errors.Is(err, ledger.ErrConflict) { // its own run is at work: what was decided here does not count
			l, err = in.store.Get(ctx, l.Request)
		}
		if err := in.tolerate(err); err != nil {
			return err
		}
		if err == nil {
			left = append(left, l)
		}
	}
	in.ledgers = left
	return nil
}

// tolerate notes what is wrong with one ledger, which holds up no other. What may
// be gone when it is tried again ends the run.
func (in *inputs) tolerate(err error) error {
	if err == nil || platform.IsTransient(err) || errors.Is(err, context.Canceled) {
		return err
	}
	if in.damaged == nil {
		in.damaged = &ledger.DamagedError{}
	}
	in.damaged.Errs = append(in.damaged.Errs, err)
	return nil
}

// state of the request that a ledger is about.
type state int

const (
	alive state = iota
	// stuck: it is being deleted, and no Job of it runs.
	stuck
	missing
)

// stateOf returns how the request of a ledger fares, with what is known of it.
func stateOf(l *ledger.Ledger, users []natsUser, now time.Time) (state, natsUser) {
	i := slices.IndexFunc(users, func(u natsUser) bool { return u.Namespace == l.Request.Namespace && u.Name == l.Request.Name })
	switch {
	case i < 0:
		return missing, natsUser{}
	case users[i].IsStuck(now):
		return stuck, users[i]
	}
	return alive, users[i]
}

// markMissing decides about the ledger of a request that is not alive. Pure.
func markMissing(l *ledger.Ledger, s state, revoke bool, now time.Time) {
	switch {
	case l.Tombstone != nil:
	case s == missing && l.MissingSince.IsZero():
		l.MissingSince = now.UTC().Truncate(time.Second)
		return
	case s == missing && now.Before(l.MissingSince.Add(missingGrace)):
		return
	default:
		l.Tombstone = &ledger.Tombstone{UID: l.UID, At: now.UTC().Truncate(time.Second)}
	}
	credential.RetireAll(l, revoke, now)
}

// forget releases the Secrets of those requests, and forgets a ledger once
// nothing in it has any use.
func forget(ctx context.Context, run *workflow.Run, in *inputs) error {
	var left []*ledger.Ledger
	for _, l := range in.ledgers {
		s, _ := stateOf(l, in.all, run.Now)
		if l.Tombstone == nil || s == alive || l.Count(ledger.Retiring) > 0 {
			left = append(left, l)
			continue
		}
		l.Tombstone.Done = true
		if err := in.store.Save(ctx, l); errors.Is(err, ledger.ErrConflict) {
			continue
		} else if err != nil {
			if err := in.tolerate(err); err != nil {
				return err
			}
			continue
		}
		if err := free(ctx, run, l, s); err != nil {
			return err
		}
		if len(l.Records) > 0 || s == stuck || run.Now.Before(l.Tombstone.At.Add(memory)) {
			left = append(left, l)
		} else if err := in.store.Remove(ctx, l); err != nil {
			return err
		}
	}
	in.ledgers = left
	return nil
}

// free releases the Secrets of a request, once nothing delivers them any more,
// and has those who wait for them run.
func free(ctx context.Context, run *workflow.Run, l *ledger.Ledger, s state) error {
	store := claim.Store{Client: run.Platform, Kinds: []claim.Kind{{Kind: platform.NatsUser, Promise: "nats-user"}}}
	dead := store.Gone
	if s == stuck {
		dead = func(ctx context.Context, c claim.Claim) (bool, error) { return store.Silent(ctx, c.Owner) }
	}
	waiters, err := store.FreeDead(ctx, claim.Owner{Kind: platform.NatsUser.Kind, Namespace: l.Request.Namespace, Name: l.Request.Name}, dead)
	if err != nil {
		return err
	}
	return workflow.NotifyAll(ctx, run, platform.NatsUser, waiters)
}
