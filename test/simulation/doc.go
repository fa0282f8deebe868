// Package simulation runs the pipelines of credentials for years of simulated
// time, on a platform that misbehaves as real ones do, against real NATS servers
// in the same process. See TestYears.
package simulation
