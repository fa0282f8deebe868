// Package platform is a whole platform on one machine: a platform cluster with a
// node, two workload clusters, Kratix with a Git state store, Argo CD, Sealed
// Secrets, Traefik and NATS. Each is the real program; how they are put together
// is what this package knows.
package platform

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/baleen-platform/baleen/test/e2e/kratix"
	"github.com/baleen-platform/baleen/test/e2e/machine"
)

// Platform is one platform; all it leaves behind is in the machine's folder.
type Platform struct {
	machine.Machine
	// programs are the paths of the programs, sources the folders of modules whose
	// manifests are applied.
	programs, sources map[string]string
	given             kratix.Given // in place of the module's
	version           string       // of Kratix, in words
	supervisor        *supervisor
	synadia           Synadia
}

// The machine's addresses: pods reach them over their bridge, nothing outside does.
const (
	nodeAddress    = "10.99.0.1"
	gitAddr        = "10.99.0.2:3000"
	registryAddr   = "127.0.0.1:5000" // containerd pulls from there, and only loopback may do without TLS
	natsAddress    = "10.99.0.4"
	synadiaAddress = "10.99.0.3"
	traefikAddress = "10.99.0.6"
	backendAddress = "10.99.0.7"
)

var workloadAddresses = map[string]string{"eu-1": "10.99.0.11", "us-1": "10.99.0.12"}

// Addresses are all that the machine has besides loopback.
func Addresses() []string {
	all := []string{nodeAddress, "10.99.0.2", natsAddress, synadiaAddress, "10.99.0.5", traefikAddress, backendAddress}
	for _, a := range workloadAddresses {
		all = append(all, a)
	}
	for _, c := range clusters("") {
		all = append(all, c.address)
	}
	return all
}

// Environment is what tests need to know of a platform.
type Environment struct {
	// Kubeconfigs of administrators, by cluster: "platform" and the workload clusters.
	Kubeconfigs map[string]string
	// Kratix says which one is installed.
	Kratix string
	// Registry is where images of Baleen are pushed to.
	Registry string
	// Git is the bare repository of the state store. While the file Away exists the
	// server answers 503.
	Git, Away string
	// HTTPS and HTTP are where Traefik of eu-1 listens; Backend is an address that
	// backends may listen on.
	HTTPS, HTTP, Backend string
	NATS                 NATS
	Synadia              Synadia
	// Control is the socket of the supervisor.
	Control string
	// Logs is the folder with the log of each process.
	Logs string
	// Kubectl and NATSServer are the paths of the programs.
	Kubectl, NATSServer string
}

// New returns the platform of a folder, which [tools.Build] has made the programs
// for, with the Kratix that is given, if one is.
func New(dir string, programs, sources map[string]string, given kratix.Given) *Platform {
	m := machine.Machine{Dir: dir}
	return &Platform{Machine: m, programs: programs, sources: sources, given: given, supervisor: newSupervisor(filepath.Join(dir, "log"))}
}

// Files in the machine's folder by which `platform up` follows what happens.
const (
	Progress    = "progress"
	Ready       = "ready"
	environment = "environment.json"
)

// step does something and says how long it took.
func (p *Platform) step(progress *os.File, what string, do func() error) error {
	began := time.Now()
	if err := do(); err != nil {
		fmt.Fprintf(progress, "  %-42s failed: %v\n", what, err)
		return fmt.Errorf("%s: %w", what, err)
	}
	fmt.Fprintf(progress, "  %-42s %5.1f s\n", what, time.Since(began).Seconds())
	return nil
}

// Run brings the platform up and keeps it up until the context ends.
func (p *Platform) Run(ctx context.Context) error {
	progress, err := os.OpenFile(filepath.Join(p.Dir, Progress), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer progress.Close()
	all := clusters(p.Dir)
	hub, workloads := all[0], all[1:]
	if err := together(
		func() error {
			return p.step(progress, "container registry", func() error {
				if err := startRegistry(); err != nil {
					return err
				}
				return errors.Join(
					image{repository: "pause", tag: "1", binary: p.programs["pause"], at: "/pause", user: "65535"}.push(),
					image{repository: "empty-pipeline", tag: "1", binary: p.programs["empty-pipeline"], at: "/empty-pipeline", user: "65532"}.push())
			})
		},
		func() error { return p.step(progress, "Git", p.startGit) },
		func() error { return p.step(progress, "NATS: operator mode, full resolver", p.startNATS) },
		func() error { return p.step(progress, "Synadia Cloud: a stand-in", p.startSynadia) },
		func() error {
			for _, c := range all {
				if err := p.step(progress, "API server of "+c.name, func() error { return errors.Join(c.prepare(), p.startCluster(ctx, c)) }); err != nil {
					return err
				}
			}
			return nil
		},
	); err != nil {
		return err
	}
	if err := together(
		func() error {
			if err := p.step(progress, "kubelet, containerd, scheduler", func() error { return p.startNode(ctx, hub) }); err != nil {
				return err
			}
			return p.step(progress, "Kratix, state store, Destinations", func() error {
				if err := p.startKratix(ctx, hub); err != nil {
					return err
				}
				return p.addDestinations(ctx, hub, workloads)
			})
		},
		func() error {
			for _, w := range workloads {
				if err := p.step(progress, "Gateway API, Sealed Secrets on "+w.name, func() error {
					if err := p.addGatewayAPI(ctx, w); err != nil {
						return err
					}
					if err := p.startSealedSecrets(ctx, w); err != nil {
						return err
					}
					return p.waitSealing(ctx, w)
				}); err != nil {
					return err
				}
			}
			if err := p.step(progress, "Traefik on "+workloads[0].name, func() error { return p.startTraefik(ctx, workloads[0]) }); err != nil {
				return err
			}
			return p.step(progress, "Argo CD", func() error { return p.startArgo(ctx, hub, workloads) })
		},
	); err != nil {
		return err
	}
	if err := p.writeEnvironment(all); err != nil {
		return err
	}
	if err := p.serveControl(all); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(p.Dir, Ready), nil, 0o644); err != nil {
		return err
	}
	<-ctx.Done()
	slog.Info("the platform is taken down")
	return nil
}

// together does all at once and returns the first error.
func together(work ...func() error) error {
	errs := make([]error, len(work))
	var wait sync.WaitGroup
	for i, do := range work {
		wait.Go(func() { errs[i] = do() })
	}
	wait.Wait()
	return errors.Join(errs...)
}

func (p *Platform) writeEnvironment(all []*cluster) error {
	e := Environment{
		Kubeconfigs: map[string]string{}, Kratix: p.version, Registry: registryAddr + "/baleen",
		Git: filepath.Join(p.Dir, "git", "state.git"), Away: filepath.Join(p.Dir, "git", "away"),
		HTTPS: traefikAddress + ":8443", HTTP: traefikAddress + ":8000", Backend: backendAddress,
		Control: filepath.Join("/run", "baleen-control.sock"), Logs: filepath.Join(p.Dir, "log"), Kubectl: p.programs["kubectl"], NATSServer: p.programs["nats-server"],
		Synadia: p.synadia,
	}
	for _, c := range all {
		e.Kubeconfigs[c.name] = c.kubeconfig()
	}
	known, err := os.ReadFile(filepath.Join(p.Dir, "nats.json"))
	if err == nil {
		err = json.Unmarshal(known, &e.NATS)
	}
	if err != nil {
		return err
	}
	data, err := json.MarshalIndent(e, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(p.Dir, environment), data, 0o600)
}

// ReadEnvironment reads what a platform in a folder wrote for its tests.
func ReadEnvironment(dir string) (Environment, error) {
	e := Environment{}
	data, err := os.ReadFile(filepath.Join(dir, environment))
	if err == nil {
		err = json.Unmarshal(data, &e)
	}
	return e, err
}

// serveControl lets tests do what happens to platforms: POST /kill/<process>,
// which comes back; /rebuild/<cluster>; /renew-sealing-key/<cluster>.
func (p *Platform) serveControl(all []*cluster) error {
	mux := http.NewServeMux()
	answer := func(w http.ResponseWriter, err error) {
		if err != nil {
			http.Error(w, err.Error(), http.StatusConflict)
		}
	}
	mux.HandleFunc("POST /kill/{name}", func(w http.ResponseWriter, r *http.Request) { answer(w, p.supervisor.kill(r.PathValue("name"))) })
	for _, c := range all[1:] {
		mux.HandleFunc("POST /rebuild/"+c.name, func(w http.ResponseWriter, r *http.Request) { answer(w, p.rebuild(r.Context(), c)) })
		mux.HandleFunc("POST /renew-sealing-key/"+c.name, func(w http.ResponseWriter, r *http.Request) { answer(w, p.renewSealing(r.Context(), c)) })
	}
	return serveUnix(filepath.Join("/run", "baleen-control.sock"), mux)
}

// rebuild wipes a workload cluster and makes a new one, with nothing but its
// components and the sealing keys of the old one, which one has a backup of.
func (p *Platform) rebuild(ctx context.Context, c *cluster) error {
	keys, err := p.kubectl(ctx, c, "", "-n", "kube-system", "get", "secrets", "-l", "sealedsecrets.bitnami.com/sealed-secrets-key", "-o", "yaml")
	if err != nil {
		return err
	}
	traefik := p.supervisor.stop(c.name+"-traefik") == nil
	for _, name := range []string{"-sealed-secrets", "-controllers", "-apiserver", "-etcd"} {
		if err := p.supervisor.stop(c.name + name); err != nil {
			return err
		}
	}
	if err := os.RemoveAll(c.file("etcd")); err != nil {
		return err
	}
	if err := p.startCluster(ctx, c); err != nil {
		return err
	}
	if _, err := p.kubectl(ctx, c, keys, "create", "-f", "-"); err != nil {
		return err
	}
	if err := p.addGatewayAPI(ctx, c); err != nil {
		return err
	}
	if err := p.startSealedSecrets(ctx, c); err != nil {
		return err
	}
	if traefik {
		if err := p.startTraefik(ctx, c); err != nil {
			return err
		}
	}
	if err := p.waitSealing(ctx, c); err != nil {
		return err
	}
	// As when the new cluster is registered: it must not go by what it knew of the
	// former one.
	return p.supervisor.kill("argocd-controller")
}
