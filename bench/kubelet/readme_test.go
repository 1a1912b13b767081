// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package kubelet

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fairlead/internal/nstest"
)

// registryName is the registry of README.
const registryName = "registry.example"

// TestReadme does what README tells a new user to do, with the same words: it builds image
// and chart, pushes the image to a registry and installs the chart on a cluster as kubeadm
// makes it. Nodes pull the image, and connections of each kind succeed. Then it does what
// the page of each kind of cluster says.
func TestReadme(t *testing.T) {
	commands, network := readme(t)
	c := startCluster(t)
	c.startRegistry(t)
	for _, n := range c.Nodes {
		c.forwardAPIServer(t, n.Host)
	}
	c.writeKubeProxyConfig(t)
	out := c.operator(t, commands[0])
	tag := regexp.MustCompile(`localhost/fairlead:(\S+)@sha256:([0-9a-f]{64})`).FindStringSubmatch(out)
	if tag == nil {
		t.Fatalf("%s does not print the tag:\n%s", commands[0], out)
	}
	c.operator(t, strings.ReplaceAll(commands[1], "TAG", tag[1]))
	if sum := c.operator(t, "skopeo inspect --raw docker://"+registryName+"/fairlead:"+tag[1]+" | sha256sum"); !strings.Contains(sum, tag[2]) {
		t.Errorf("the image has the digest %s, and in the registry\n%s", tag[2], sum)
	}
	c.operator(t, commands[2]+" "+network)
	c.rolledOut(t)
	ways := c.ways(t)
	check := func(t *testing.T) {
		t.Helper()
		for _, w := range ways {
			for server, n := range w.count(t, 20) {
				if !slices.Contains(w.servers, server) {
					t.Errorf("%s: %q answered %d times", w.name, server, n)
				}
			}
		}
	}
	check(t)
	for _, page := range []string{"kubeadm", "k3s", "rke2", "kind", "talos", "microk8s", "plain"} {
		t.Run(page, func(t *testing.T) {
			c.installByPage(t, page)
			check(t)
		})
	}
}

// installByPage does what the page of a kind of cluster says to replace kube-proxy and
// flannel, on nodes where that cluster's addresses lead to the API server, after what was
// installed before is gone.
func (c *cluster) installByPage(t *testing.T, page string) {
	t.Helper()
	text, err := os.ReadFile("../../docs/install-" + page + ".md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## In place of kube-proxy and flannel\n")
	command := regexp.MustCompile(`(?m)^    (?:microk8s )?(helm install (?:.*\\\n)*.*)$`).FindStringSubmatch(section)
	if command == nil {
		t.Fatalf("the page installs nothing:\n%s", section)
	}
	c.operator(t, "helm uninstall fairlead -n kube-system --wait")
	c.awaitNoAgents(t)
	for _, n := range c.Nodes { // the agents of this page have to bring their own
		for _, dir := range []string{"etc/cni/net.d", "opt/cni/bin"} {
			c.empty(t, filepath.Join(c.dir, n.Name, "root", dir))
		}
	}
	own := strings.NewReplacer("CONTROL-PLANE-ADDRESS", c.Outside.Addr4.String(), "192.0.2.1", c.Outside.Addr4.String(),
		"10.42.0.0/16", "10.244.0.0/16", "10.1.0.0/16", "10.244.0.0/16",
		// A kubelet has to pull an image again that it pulled under another name.
		"=localhost/fairlead", "="+registryName+"/fairlead")
	c.operator(t, own.Replace(command[1]))
	c.rolledOut(t)
	for _, n := range c.Nodes {
		for _, file := range []string{"etc/cni/net.d/*.conflist", "opt/cni/bin/bridge"} {
			if found, err := filepath.Glob(filepath.Join(c.dir, n.Name, "root", file)); err != nil || len(found) != 1 {
				t.Errorf("%s has %q of %s, %v", n.Name, found, file, err)
			}
		}
	}
}

// empty removes the files of a directory.
func (c *cluster) empty(t *testing.T, dir string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	for _, f := range files {
		err = errors.Join(err, os.Remove(f))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// readme returns the three commands of README's section Start, and the flag that it adds
// for the pod network.
func readme(t *testing.T) (commands []string, network string) {
	t.Helper()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile(`\n\n((?:    .*\n){3})\n`).FindSubmatch(text)
	flag := regexp.MustCompile("`(--set network\\.Network=[^`]+)`").FindSubmatch(text)
	if block == nil || flag == nil {
		t.Fatal("README has no three commands, or no flag for the pod network")
	}
	for line := range strings.Lines(string(block[1])) {
		commands = append(commands, strings.TrimSpace(line))
	}
	return commands, string(flag[1])
}

// operator runs a command in the root of the repository, on a host that may reach the API
// server and the registry, and returns what the command prints.
func (c *cluster) operator(t *testing.T, command string) string {
	t.Helper()
	kubeconfig, err := c.plane.Kubeconfig("operator.kubeconfig", c.plane.URL(), c.plane.AdminAuth())
	if err != nil {
		t.Fatal(err)
	}
	insecure := filepath.Join(c.dir, "registries.conf")
	write(t, insecure, fmt.Sprintf("[[registry]]\nlocation = %q\ninsecure = true\n", registryName))
	cmd := nstest.Command(t, c.Outside.NS, "unshare", "--mount", "sh", "-exc", "mount --bind "+c.hosts(t)+" /etc/hosts\n"+
		"mount --bind "+insecure+" /etc/containers/registries.conf\n"+command)
	cmd.Dir = "../.."
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(e string) bool { return strings.HasPrefix(e, "CGO_ENABLED=") }),
		"KUBECONFIG="+kubeconfig, "PATH="+filepath.Dir(binary(t, "helm"))+":"+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", command, err, out)
	}
	t.Logf("%s", out)
	return string(out)
}

// startRegistry starts a registry without TLS on the host outside, and writes what makes
// nodes pull from it.
func (c *cluster) startRegistry(t *testing.T) {
	t.Helper()
	addr := c.Outside.Addr4.String()
	var l net.Listener
	if err := c.Outside.NS.Do(func() (err error) {
		l, err = new(net.ListenConfig).Listen(t.Context(), "tcp4", net.JoinHostPort(addr, "80"))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: registry.New(), ReadHeaderTimeout: time.Minute}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l) // until it is closed
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-done
	})
	dir := filepath.Join(c.registries(), registryName)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "hosts.toml"), fmt.Sprintf("server = \"http://%[1]s\"\n[host.\"http://%[1]s\"]\ncapabilities = [\"pull\", \"resolve\"]\n", addr))
}

// writeKubeProxyConfig makes the ConfigMap that kubeadm makes.
func (c *cluster) writeKubeProxyConfig(t *testing.T) {
	t.Helper()
	_, err := c.api.CoreV1().ConfigMaps(agentNamespace).Create(t.Context(), &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "kube-proxy", Labels: map[string]string{"app": "kube-proxy"}},
		Data: map[string]string{
			"config.conf": `apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
bindAddress: 0.0.0.0
clientConnection: {kubeconfig: /var/lib/kube-proxy/kubeconfig.conf}
clusterCIDR: 10.244.0.0/16
mode: ""
`,
			"kubeconfig.conf": `apiVersion: v1
kind: Config
clusters:
- {name: default, cluster: {certificate-authority: /var/run/secrets/kubernetes.io/serviceaccount/ca.crt, server: "` + c.plane.URL() + `"}}
contexts:
- {name: default, context: {cluster: default, namespace: default, user: default}}
current-context: default
users:
- {name: default, user: {tokenFile: /var/run/secrets/kubernetes.io/serviceaccount/token}}
`,
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
}
