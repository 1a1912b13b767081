// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package kubelet

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"fairlead/bench/controlplane"
	"fairlead/internal/lab"
	"fairlead/internal/nstest"
)

// binary returns the path of what "make kubelet" built.
func binary(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("..", "..", "bin", name))
	if err == nil {
		_, err = os.Stat(path)
	}
	if err != nil {
		t.Fatalf("%v; run \"make kubelet\"", err)
	}
	return path
}

// startNode starts containerd and kubelet on a host. Images are archives in a directory.
func (c *cluster) startNode(t *testing.T, h *lab.Host, images string) {
	t.Helper()
	dir := filepath.Join(c.dir, h.Name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	kubeconfig, err := c.plane.Kubeconfig(h.Name+".kubeconfig", c.plane.URL(), c.plane.AdminAuth())
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "containerd.toml"), fmt.Sprintf(containerdConfig, c.registries()))
	write(t, filepath.Join(dir, "kubelet.yaml"), fmt.Sprintf(kubeletConfig, c.plane.CAFile(), c.cgroup+"/"+h.Name, dir))
	script, err := filepath.Abs("testdata/node.sh")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", script)
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWUTS}
	cmd.Env = append(os.Environ(), "NAME="+h.Name, "IP="+h.Addr4.String(), "DIR="+dir, "IMAGES="+images, "HOSTS="+c.hosts(t),
		"BIN="+binary(t, "containerd"), "KUBECONFIG="+kubeconfig,
		"CGROUP="+filepath.Join(hierarchies(t)[0], c.cgroup, h.Name, "sys"))
	c.showPodLogs(t, h.Name)
	c.run(t, h, h.Name, cmd)
}

// run starts a program on a host, whose output the test shows when it fails.
func (c *cluster) run(t *testing.T, h *lab.Host, log string, cmd *exec.Cmd) *lab.Process {
	t.Helper()
	path := filepath.Join(c.dir, log+".log")
	out, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = out.Close() }() // the program has a copy
	cmd.Stdout, cmd.Stderr = out, out
	p, err := h.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("%s:\n%s", path, controlplane.Tail(path))
		}
	})
	return p
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// need skips the test where the machine cannot run containers.
func need(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		nstest.Skip(t, "only root can start containers")
	}
	for _, program := range []string{"runc", "mount"} {
		if _, err := exec.LookPath(program); err != nil {
			nstest.Skip(t, program+" is not installed")
		}
	}
}

// hosts writes /etc/hosts of nodes and of their operator, and returns its path.
func (c *cluster) hosts(t *testing.T) string {
	t.Helper()
	path, addr := filepath.Join(c.dir, "hosts"), c.Outside.Addr4
	write(t, path, fmt.Sprintf("127.0.0.1 localhost\n%s %s\n%s %s\n", addr, registryName, addr, controlplane.KindHost))
	return path
}

// registries is a directory with a file for each registry that nodes pull from.
func (c *cluster) registries() string { return filepath.Join(c.dir, "registries") }

// containerdConfig lacks the directory of registries.
const containerdConfig = `version = 3
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.nri.v1.nri"]
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "` + pauseImage + `"
[plugins."io.containerd.cri.v1.images".registry]
  config_path = %q
[plugins."io.containerd.cri.v1.runtime"]
  restrict_oom_score_adj = true
[plugins."io.containerd.cri.v1.runtime".cni]
  bin_dirs = ["/opt/cni/bin"]
  conf_dir = "/etc/cni/net.d"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
    SystemdCgroup = false
`

// kubeletConfig lacks the file of the CA, the cgroup and the directory of the node.
const kubeletConfig = `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
failCgroupV1: false
cgroupDriver: cgroupfs
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: %s}
authorization: {mode: Webhook}
cgroupRoot: %s
volumePluginDir: %[3]s/volume-plugins
resolvConf: %[3]s/resolv.conf
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
failSwapOn: false
evictionHard: {memory.available: 100Mi, nodefs.available: 1%%, imagefs.available: 1%%}
imageGCHighThresholdPercent: 100
nodeStatusUpdateFrequency: 5s
kubeAPIQPS: 50
kubeAPIBurst: 100
`

// showPodLogs shows what the containers of a node said when the test fails.
func (c *cluster) showPodLogs(t *testing.T, node string) {
	t.Helper()
	t.Cleanup(func() {
		if !t.Failed() {
			return
		}
		logs, err := filepath.Glob(filepath.Join(c.dir, node, "root/var/log/pods/*/*/*.log"))
		if err != nil {
			t.Error(err)
		}
		for _, path := range logs {
			t.Logf("%s:\n%s", path, controlplane.Tail(path))
		}
	})
}
