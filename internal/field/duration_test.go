package field

import (
	"fmt"
	"math"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

// Durations are read as people write them, and what could be read in two ways is none.
func TestDuration(t *testing.T) {
	const day = 24 * time.Hour
	for d, want := range map[Duration]time.Duration{
		"720h": 720 * time.Hour, "1h30m": 90 * time.Minute, "1.5h": 90 * time.Minute, "30d": 30 * day, "1d": day, "5s": 5 * time.Second,
		"250ms": 250 * time.Millisecond, "720h0m0s": 720 * time.Hour, "30m1h": 90 * time.Minute, "1m1m": 2 * time.Minute, "0.125s": 125 * time.Millisecond,
		"99999d": 99999 * day, "99999h": 99999 * time.Hour, "99999h99999h99999h99999h99999h1h": 499996 * time.Hour, "007d": 7 * day,
		"0s": 0, "0d": 0, "0h0m": 0, "0.000s": 0,
	} {
		t.Run(string(d), func(t *testing.T) {
			if got := d.Value(); got != want {
				t.Errorf("%q is %s, want %s", d, got, want)
			}
			var p Problems
			if p.Duration("spec.ttl", d, 0, math.MaxInt64); len(p) > 0 {
				t.Errorf("%q: %q", d, p)
			}
		})
	}
	for _, d := range []Duration{
		"-1h", "+1h", "-0s", "0", "1", "h", "d", "1d2h", "2h1d", "1d1d", "1.5d", "1.h", ".5h", "1,5h", "1 h", " 1h", "1h ", "1h\n", "1H", "1w", "1M", "1us", "1ns", "1e3s", "0x1h",
		"١h", "1h\u0085", "inf", "null", "100000d", "100000h", "9999999999999999999h", "99999h99999h99999h99999h99999h11h", "2562047h47m", Duration(strings.Repeat("1h", 5000)),
	} {
		t.Run(string(d), func(t *testing.T) {
			if got := d.Value(); got != 0 {
				t.Errorf("%q is %s", d, got)
			}
			var p Problems
			p.Duration("spec.ttl", d, 0, math.MaxInt64)
			if want := "spec.ttl " + Quote(string(d)) + " is not a duration such as 90m"; len(p) != 1 || !strings.HasPrefix(p[0], want) || strings.ContainsAny(p[0], "\n\u0085") {
				t.Errorf("%q: %q", d, p)
			}
		})
	}
}

// What is too short or too long is told with its bound, in as few units as can be.
func TestDurationLimits(t *testing.T) {
	for d, want := range map[Duration]Problems{
		"": nil, "1m": nil, "60s": nil, "90d": nil, "2160h": nil, "1.5h": nil,
		"0s":     {`spec.ttl "0s" is too short: write at least 1m`},
		"59s":    {`spec.ttl "59s" is too short: write at least 1m`},
		"91d":    {`spec.ttl "91d" is too long: write at most 2160h`},
		"90d1ms": {`spec.ttl "90d1ms" is not a duration such as 90m, 1h30m or 30d: write numbers of at most five digits, each with one of h, m, s and ms, or whole days alone`},
	} {
		t.Run(string(d), func(t *testing.T) {
			var p Problems
			if p.Duration("spec.ttl", d, time.Minute, 90*24*time.Hour); !reflect.DeepEqual(p, want) {
				t.Errorf("%q: %q, want %q", d, p, want)
			}
		})
	}
	for d, want := range map[time.Duration]string{
		0: "0s", time.Hour: "1h", 10 * time.Hour: "10h", 90 * time.Minute: "1h30m", time.Minute: "1m", 10 * time.Second: "10s",
		90 * time.Second: "1m30s", time.Hour + time.Second: "1h0m1s", 100 * time.Millisecond: "100ms",
	} {
		t.Run("in short "+want, func(t *testing.T) {
			if got := Short(d); got != want {
				t.Errorf("%s is %s in short, want %s", d, got, want)
			}
		})
	}
}

// The CRD and Go have the same rule.
func TestDurationMarkers(t *testing.T) {
	source, err := os.ReadFile("duration.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, marker := range []string{fmt.Sprintf("MaxLength=%d\n", maxDuration), "XValidation:rule=`self.matches(r'" + duration.String() + "')`,"} {
		if !strings.Contains(string(source), "// +kubebuilder:validation:"+marker) {
			t.Errorf("duration.go has no marker %s", marker)
		}
	}
}
