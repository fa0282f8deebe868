package platform

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

const (
	nodeName   = "platform"
	containerd = "unix:///run/containerd/containerd.sock"
)

// startNode runs containerd, a kubelet and a scheduler: pipelines are real pods,
// each with an address of its own on a bridge.
func (p *Platform) startNode(ctx context.Context, c *cluster) error {
	dir := filepath.Join(p.Dir, "node")
	if err := os.MkdirAll(filepath.Join(dir, "cni"), 0o755); err != nil {
		return err
	}
	network := `{"cniVersion": "1.0.0", "name": "pods", "plugins": [{
  "type": "bridge", "bridge": "pods0", "isGateway": true, "hairpinMode": true,
  "ipam": {"type": "host-local", "dataDir": "/run/cni", "ranges": [[{"subnet": "10.244.0.0/16"}]], "routes": [{"dst": "0.0.0.0/0"}]}
}]}`
	if err := os.WriteFile(filepath.Join(dir, "cni", "pods.conflist"), []byte(network), 0o644); err != nil {
		return err
	}
	config := fmt.Sprintf(`version = 2
root = %q
state = "/run/containerd"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.aufs"]
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "%s/pause:1"
  restrict_oom_score_adj = true
  disable_apparmor = true
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
  options = {BinaryName = "crun"}
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "/usr/lib/cni"
  conf_dir = %q
[plugins."io.containerd.grpc.v1.cri".registry.mirrors.%q]
  endpoint = ["http://%s"]
`, filepath.Join(dir, "containerd"), registryAddr, filepath.Join(dir, "cni"), registryAddr, registryAddr)
	if err := os.WriteFile(filepath.Join(dir, "containerd.toml"), []byte(config), 0o644); err != nil {
		return err
	}
	if err := p.supervisor.start(process{name: "containerd", path: "containerd", args: []string{"--config", filepath.Join(dir, "containerd.toml")}}); err != nil {
		return err
	}
	kubelet, err := json.Marshal(map[string]any{
		"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
		"authentication": map[string]any{
			"anonymous": map[string]any{"enabled": false}, "webhook": map[string]any{"enabled": false},
			"x509": map[string]any{"clientCAFile": c.file("ca.crt")},
		},
		"authorization":            map[string]any{"mode": "AlwaysAllow"},
		"containerRuntimeEndpoint": containerd, "cgroupDriver": "cgroupfs", "cgroupRoot": "/" + p.CgroupName(), "failCgroupV1": false,
		"failSwapOn": false, "oomScoreAdj": 0, "address": nodeAddress, "healthzBindAddress": "127.0.0.1",
		"serializeImagePulls": false, "registryPullQPS": 0, "maxPods": 200, "syncFrequency": "1m",
		// The disk is the host's, who may fill it as they like.
		"evictionHard":                map[string]any{"memory.available": "100Mi", "nodefs.available": "0%", "nodefs.inodesFree": "0%", "imagefs.available": "0%"},
		"imageGCHighThresholdPercent": 100,
	})
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "kubelet.json"), kubelet, 0o644); err != nil {
		return err
	}
	if err := waitFor(ctx, time.Minute, "containerd", func() error {
		_, err := os.Stat("/run/containerd/containerd.sock")
		return err
	}); err != nil {
		return err
	}
	for _, run := range []process{
		{name: "kubelet", path: p.programs["kubelet"], args: []string{
			"--config=" + filepath.Join(dir, "kubelet.json"), "--kubeconfig=" + c.file("kubelet.kubeconfig"),
			"--hostname-override=" + nodeName, "--node-ip=" + nodeAddress, "--cert-dir=" + c.file("kubelet"),
		}},
		{name: "scheduler", path: p.programs["kube-scheduler"], args: []string{
			"--kubeconfig=" + c.file("scheduler.kubeconfig"), "--authentication-kubeconfig=" + c.file("scheduler.kubeconfig"),
			"--authorization-kubeconfig=" + c.file("scheduler.kubeconfig"), "--leader-elect=false", "--bind-address=127.0.0.1",
			"--cert-dir=" + c.file("generated"),
		}},
	} {
		if err := p.supervisor.start(run); err != nil {
			return err
		}
	}
	return waitFor(ctx, 2*time.Minute, "the node", func() error {
		_, err := p.kubectl(ctx, c, "", "wait", "--for=condition=Ready", "--timeout=1s", "node/"+nodeName)
		return err
	})
}
