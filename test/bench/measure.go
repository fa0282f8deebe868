package main

import (
	"bytes"
	"fmt"
	"os/exec"
	"slices"
	"time"
)

const measured = "bin/measured"

// sample is one process with those that it started: their time on the wall and on
// processors, and the peak memory in KiB of the largest.
type sample struct {
	Wall, CPU time.Duration
	Memory    int64
}

func (s sample) wall() float64   { return s.Wall.Seconds() * 1000 }
func (s sample) cpu() float64    { return s.CPU.Seconds() * 1000 }
func (s sample) memory() float64 { return float64(s.Memory) / 1024 }

func measure(c *exec.Cmd) (s sample, err error) {
	outer := exec.Command(measured, c.Args...)
	outer.Env = c.Env
	var stderr bytes.Buffer
	outer.Stderr = &stderr
	out, err := outer.Output()
	if err != nil {
		return s, fmt.Errorf("%s: %w: %s", c.Path, err, &stderr)
	}
	_, err = fmt.Sscan(string(out), &s.Wall, &s.CPU, &s.Memory)
	return s, err
}

func each(samples []sample, value func(sample) float64) []float64 {
	var all []float64
	for _, s := range samples {
		all = append(all, value(s))
	}
	return all
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
