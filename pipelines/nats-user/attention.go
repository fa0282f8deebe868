package natsuser

import (
	"context"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/baleen-platform/baleen/internal/account"
	"github.com/baleen-platform/baleen/internal/identity"
	"github.com/baleen-platform/baleen/internal/platform"
	"github.com/baleen-platform/baleen/internal/workflow"
)

// isListed reports whether the status of an account says that the request needs
// attention.
func isListed(object *unstructured.Unstructured, request identity.Request) bool {
	return slices.ContainsFunc(account.LastStatus(object).AttentionNames, func(entry string) bool {
		name, _, _ := strings.Cut(entry, " ")
		return name == request.String()
	})
}

// unlist has an account whose status says that the request needs attention say it no
// more, now that the request is gone. The account, which looks at its users once in an
// interval, would say so until then.
func unlist(ctx context.Context, run *workflow.Run) error {
	name, _, _ := unstructured.NestedString(run.Request.Object, "spec", "accountRef", "name")
	object, _, err := account.Get(ctx, run.Platform, name)
	switch {
	case platform.IsTransient(err):
		return err
	case object == nil || !isListed(object, run.Identity): // the account may be gone
		return nil
	}
	return notifyAccounts(ctx, run, name)
}
