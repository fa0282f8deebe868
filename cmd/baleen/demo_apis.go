package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/baleen-platform/baleen/internal/kratix/simulator"
)

// chapters are those about APIs.
func (d *demo) chapters() []chapter {
	return []chapter{
		{name: "host", title: "The platform team offers the host api.example.com on its production clusters", tell: d.offer},
		{name: "publish", title: "Team A publishes its service orders under that host", tell: d.publish},
		{name: "theft", title: "Team C wants /orders too, and is told whose it is", tell: d.theft},
		{name: "reconcile", title: "Ten hours later Kratix runs every request again: nothing changes", tell: d.reconcile},
		{name: "nested", title: "Team B publishes /users, and team C wants a path below it", long: true, tell: d.nested},
		{name: "handover", title: "Team A gives /orders up: it leaves the clusters first, then team C gets it", tell: d.handover},
	}
}

func (d *demo) offer(ctx context.Context) error {
	result, err := d.ask(ctx, "public-api.yaml", "kind:", "metadata:", "hostname:", "gateway:", "allowedNamespaces:", "placement:")
	if err != nil {
		return err
	}
	return d.served(result)
}

func (d *demo) publish(ctx context.Context) error {
	result, err := d.ask(ctx, "orders.yaml")
	if err != nil {
		return err
	}
	route, err := documentOf(result, "HTTPRoute", "value: /orders\n", "method: GET")
	if err != nil {
		return err
	}
	d.say("", "Each cluster gets through Git, among others:")
	before, rules, _ := strings.Cut(string(route), "  rules:\n  - ")
	first, _, _ := strings.Cut(rules, "\n  - ")
	d.yaml([]byte(before+"  - "+first), "kind: HTTPRoute", "hostnames:", "api.example.com", "matches:", "value:", "method:", "replacePrefixMatch:", "name: orders", "port:")
	return d.served(result)
}

func (d *demo) theft(ctx context.Context) error {
	result, err := d.ask(ctx, "thief.yaml", "kind:", "metadata:", "{path")
	if err != nil {
		return err
	}
	if err := d.refused(result, "/orders"); err != nil {
		return err
	}
	d.say("", "`baleen routes` shows who has what, problems first:")
	return d.routes(ctx)
}

// refused says what the status says of a path that is somebody else's.
func (d *demo) refused(result simulator.Result, path string) error {
	paths, _ := result.Status["paths"].([]any)
	for _, item := range paths {
		p, _ := item.(map[string]any)
		if p["path"] == path && p["state"] != "Accepted" {
			d.good("%s is refused (%s): %s", path, p["state"], p["message"])
			return nil
		}
	}
	return fmt.Errorf("the path %s should have been refused", path)
}

// routes shows the routing table of the platform.
func (d *demo) routes(ctx context.Context) error {
	client, err := platformFlags{folder: d.platform()}.open()
	if err != nil {
		return err
	}
	routes, err := collectRoutes(ctx, client)
	if err != nil {
		return err
	}
	return writeRoutes(d.w, "  ", false, routes)
}

// reconcile runs all requests again and counts what changes.
func (d *demo) reconcile(ctx context.Context) error {
	// The aggregator has something new to show in its status: the paths. Then
	// nothing is left to do.
	if _, err := d.carryOut(ctx, "public-api.yaml"); err != nil {
		return err
	}
	before, err := snapshot(d.platform())
	if err != nil {
		return err
	}
	d.now = d.now.Add(10 * time.Hour)
	var t tally
	for _, file := range []string{"public-api.yaml", "orders.yaml", "thief.yaml"} {
		if err := t.run(ctx, d, file); err != nil {
			return err
		}
	}
	return t.show(d, before)
}

func (d *demo) nested(ctx context.Context) error {
	result, err := d.ask(ctx, "users.yaml", "kind:", "metadata:", "backends:", "{path")
	if err != nil {
		return err
	}
	if err := d.served(result); err != nil {
		return err
	}
	if result, err = d.ask(ctx, "nested.yaml", "kind:", "metadata:", "{path"); err != nil {
		return err
	}
	return d.refused(result, "/users/admin")
}

// handover has the owner give a path up: its next run takes it off the clusters, and
// the one after that releases it.
func (d *demo) handover(ctx context.Context) error {
	if _, err := d.ask(ctx, "orders-moved.yaml", "kind:", "metadata:", "{path"); err != nil {
		return err
	}
	if _, err := d.carryOut(ctx, "orders-moved.yaml"); err != nil {
		return err
	}
	d.say("", "Team C changes nothing: Baleen has Kratix run its request again.")
	result, err := d.carryOut(ctx, "thief.yaml")
	if err != nil {
		return err
	}
	if value, _ := ready(result.Status); value != "True" {
		return errors.New("team C should have got the path")
	}
	if err := d.served(result); err != nil {
		return err
	}
	return d.routes(ctx)
}
