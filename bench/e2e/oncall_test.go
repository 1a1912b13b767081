// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/resourceversion"

	"fairlead/bench/controlplane"
	"fairlead/internal/lab"
)

// securePort is that of the chart, and plainPort another one.
const (
	securePort = "10249"
	plainPort  = "10248"
)

// onCall is a cluster whose agents were set up by the chart with metrics.listen: secure, and
// a second port without TLS, for the proxy of the API server.
type onCall struct {
	*cluster
	role *rbacv1.ClusterRole
}

// TestOnCall uses what people on call use, beside a real API server: rights, the metrics
// port with TLS, and the state of all agents.
func TestOnCall(t *testing.T) {
	o := &onCall{cluster: newCluster(t, 2)}
	o.installSecure(t)
	for _, n := range o.Nodes {
		o.newSecureAgent(t, n).start(t)
		o.agentPod(t, n)
	}
	for _, a := range o.agents {
		a.logged(t, 0, "Programmed the table")
	}
	for _, scene := range []struct {
		name string
		play func(*testing.T, *onCall)
	}{
		{"rights", rights},
		{"revisions", revisions},
		{"all nodes by the proxy", byProxy},
		{"all nodes by port", byPort},
		{"metrics", secureMetrics},
		{"metrics while the API server is away", secureMetricsAlone},
	} {
		t.Run(scene.name, func(t *testing.T) { scene.play(t, o) })
	}
}

// installSecure writes what the chart has beside the DaemonSet.
func (o *onCall) installSecure(t *testing.T) {
	t.Helper()
	docs, err := controlplane.Documents(binary(t, "secure.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for i, doc := range docs {
		if doc.GetNamespace() != "" {
			docs[i].SetNamespace(agentNamespace)
		}
		if role, ok := typed(t, doc).(*rbacv1.ClusterRole); ok && role.Name == agentAccount {
			o.role = role
		}
	}
	docs = slices.DeleteFunc(docs, func(d docOf) bool { return d.GetKind() == "DaemonSet" })
	if err := controlplane.Apply(t.Context(), o.plane.Admin(), docs); err != nil {
		t.Fatal(err)
	}
	if o.role == nil {
		t.Fatal("the chart has no ClusterRole fairlead")
	}
}

// newSecureAgent returns an agent with a certificate that the cluster's authority signed. As
// on real nodes, all agents have the same flags but for addresses: files have the same names
// in a directory of each.
func (o *onCall) newSecureAgent(t *testing.T, n *lab.Node) *agent {
	t.Helper()
	a := o.newAgent(t, n, "--metrics-bind-address", net.JoinHostPort(n.Addr4.String(), plainPort),
		"--secure-metrics-bind-address", net.JoinHostPort(n.Addr4.String(), securePort),
		"--secure-metrics-cert-file", "metrics.crt", "--secure-metrics-key-file", "metrics.key", "--kubeconfig", "kubeconfig")
	cert, err := o.plane.ServingCertificate("metrics-"+n.Name, n.Addr4)
	a.work = filepath.Join(o.dir, "work-"+n.Name)
	if err := errors.Join(err, os.Mkdir(a.work, 0o700), os.Symlink(cert+".crt", filepath.Join(a.work, "metrics.crt")),
		os.Symlink(cert+".key", filepath.Join(a.work, "metrics.key")), os.Symlink(a.kubeconfig, filepath.Join(a.work, "kubeconfig"))); err != nil {
		t.Fatal(err)
	}
	return a
}

// agentPod writes the pod that the DaemonSet would have on a node.
func (o *onCall) agentPod(t *testing.T, n *lab.Node) {
	t.Helper()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "fairlead-" + n.Name, Namespace: agentNamespace, Labels: map[string]string{"app.kubernetes.io/name": "fairlead"}},
		Spec: corev1.PodSpec{
			NodeName: n.Name, HostNetwork: true, ServiceAccountName: agentAccount, AutomountServiceAccountToken: new(false),
			Containers: []corev1.Container{{Name: "fairlead", Image: "lab"}},
		},
	}
	o.setPort(pod, "metrics", 10248)
	if _, err := o.api.CoreV1().Pods(agentNamespace).Create(t.Context(), pod, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	pod.Status = corev1.PodStatus{Phase: corev1.PodRunning, PodIP: n.Addr4.String(), HostIP: n.Addr4.String(), PodIPs: []corev1.PodIP{{IP: n.Addr4.String()}}, HostIPs: []corev1.HostIP{{IP: n.Addr4.String()}}}
	if _, err := o.api.CoreV1().Pods(agentNamespace).UpdateStatus(t.Context(), pod, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
}

func (o *onCall) setPort(pod *corev1.Pod, name string, port int32) {
	pod.Spec.Containers[0].Ports = []corev1.ContainerPort{{Name: name, ContainerPort: port, HostPort: port}}
}

// user makes a service account, and a kubeconfig with its token. It may do what rules say.
func (o *onCall) user(t *testing.T, name string, rules ...rbacv1.PolicyRule) (kubeconfig, token string) {
	t.Helper()
	_, err1 := o.api.CoreV1().ServiceAccounts(agentNamespace).Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	_, err2 := o.api.RbacV1().ClusterRoles().Create(t.Context(), &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: rules}, metav1.CreateOptions{})
	token, err3 := o.plane.Token(t.Context(), agentNamespace, name)
	file := filepath.Join(o.dir, name+".token")
	kubeconfig, err4 := o.plane.Kubeconfig(name+".kubeconfig", o.plane.URL(), controlplane.TokenFile(file))
	if err := errors.Join(err1, err2, err3, err4, os.WriteFile(file, []byte(token), 0o600)); err != nil {
		t.Fatal(err)
	}
	o.bind(t, name, name)
	return kubeconfig, token
}

func (o *onCall) bind(t *testing.T, account, role string) {
	t.Helper()
	_, err := o.api.RbacV1().ClusterRoleBindings().Create(t.Context(), &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: account + "-" + role},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: account, Namespace: agentNamespace}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
}

// fairlead runs a command on a host, and returns its output and exit code.
func (o *onCall) fairlead(t *testing.T, h *lab.Host, args ...string) (string, int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary(t, "fairlead"), args...)
	var out []byte
	err := h.NS.Do(func() (err error) {
		out, err = cmd.CombinedOutput()
		return err
	})
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("fairlead %q: %v", args, err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// anyCode accepts every exit code: what else is wrong with the machine is not asked.
const anyCode = -1

// says runs a command until its output has all texts and its exit code is the given one: roles
// and caches of the API server take a moment.
func (o *onCall) says(t *testing.T, h *lab.Host, code int, texts []string, args ...string) string {
	t.Helper()
	const patience = 45 * time.Second
	var out string
	err := poll(t.Context(), patience, func(context.Context) error {
		var got int
		out, got = o.fairlead(t, h, args...) // a command that began is not cut off
		for _, text := range texts {
			if !strings.Contains(out, text) {
				return fmt.Errorf("no %q", text)
			}
		}
		if got != code && code != anyCode {
			return fmt.Errorf("exit code %d, want %d", got, code)
		}
		return nil
	})
	if err != nil {
		t.Fatalf("fairlead %q: %v:\n%s", args, err, out)
	}
	return out
}

// rights: check names each right of the chart's ClusterRole that is missing, and none if all
// are there.
func rights(t *testing.T, o *onCall) {
	t.Helper()
	check := []string{"check", "--kubeconfig", o.agents[0].kubeconfig, "--node-name", o.Nodes[0].Name, "--secure-metrics-bind-address", ":10249"}
	o.says(t, o.Nodes[0].Host, anyCode, []string{"the API server permits all 14 requests"}, check...)
	for i := range o.role.Rules {
		less := o.role.DeepCopy()
		gone := less.Rules[i]
		less.Rules = slices.Delete(less.Rules, i, i+1)
		o.setRole(t, less)
		var want []string
		for _, resource := range gone.Resources {
			for _, verb := range gone.Verbs {
				name := resource
				if gone.APIGroups[0] != "" {
					name += "." + gone.APIGroups[0]
				}
				want = append(want, fmt.Sprintf("may not %s %s, needed for", verb, name), fmt.Sprintf("apiGroups: [%q], resources: [%s", gone.APIGroups[0], resource))
			}
		}
		o.says(t, o.Nodes[0].Host, anyCode, want, check...)
	}
	o.setRole(t, o.role)
	o.says(t, o.Nodes[0].Host, anyCode, []string{"the API server permits all 14 requests"}, check...)
}

func (o *onCall) setRole(t *testing.T, role *rbacv1.ClusterRole) {
	t.Helper()
	now, err := o.api.RbacV1().ClusterRoles().Get(t.Context(), role.Name, metav1.GetOptions{})
	if err == nil {
		now.Rules = role.Rules
		_, err = o.api.RbacV1().ClusterRoles().Update(t.Context(), now, metav1.UpdateOptions{})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// revisions: the state of an agent names for each kind the revision that the API server has
// come to, by events and by bookmarks.
func revisions(t *testing.T, o *onCall) {
	t.Helper()
	made := o.expose(t, "revised", "revised")
	for i, a := range o.agents {
		eventually(t, "the revision of Services on "+a.node.Name, func(context.Context) error {
			out, _ := o.fairlead(t, o.Nodes[i].Host, "status", "-o", "json")
			var s struct {
				APIServer struct {
					Watches []struct{ Kind, Revision string }
				}
			}
			if err := json.Unmarshal([]byte(out), &s); err != nil {
				return fmt.Errorf("%w: %s", err, out)
			}
			known := 0
			for _, w := range s.APIServer.Watches {
				if w.Revision != "" {
					known++
				}
				if n, err := resourceversion.CompareResourceVersion(w.Revision, made.ResourceVersion); w.Kind == "services" && (err != nil || n < 0) {
					return fmt.Errorf("%s is before %s: %w", w.Revision, made.ResourceVersion, err)
				}
			}
			if known != 5 {
				return fmt.Errorf("%d revisions are known: %s", known, out)
			}
			return nil
		})
	}
}

// reader is what a person needs who asks all agents by the proxy of the API server.
func reader() []rbacv1.PolicyRule {
	return []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"pods", "nodes"}, Verbs: []string{"list"}},
		{APIGroups: []string{""}, Resources: []string{"pods/proxy"}, Verbs: []string{"get"}},
	}
}

// byProxy asks all agents through the API server. It says which node has no agent, which one
// has another state, and which one does not answer.
func byProxy(t *testing.T, o *onCall) {
	t.Helper()
	kubeconfig, _ := o.user(t, "oncall", reader()...)
	all := []string{"status", "--all-nodes", "--kubeconfig", kubeconfig}
	o.says(t, o.Outside, 2, []string{"2 of 3 nodes are fine and alike", "control-plane: has no pod of the agent"}, all...)
	if err := o.api.CoreV1().Nodes().Delete(t.Context(), "control-plane", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	o.says(t, o.Outside, 0, []string{"2 of 2 nodes are fine and alike"}, all...)

	lagging := o.agents[1]
	lagging.gate.Shut()
	o.expose(t, "unheard", "unheard")
	out := o.says(t, o.Outside, 1, []string{"1 of 2 nodes are fine", "node-2: the API server is not reached", "number of Services is "}, all...)
	t.Logf("while the API server does not reach node-2's agent:\n%s", out)
	lagging.gate.Open()
	o.says(t, o.Outside, 0, []string{"2 of 2 nodes are fine and alike"}, all...)

	lagging.stop(t)
	o.says(t, o.Outside, 2, []string{"node-2: ask through the API server: ", "1 of 2 nodes"}, all...)
	lagging.start(t)
	o.says(t, o.Outside, 0, []string{"2 of 2 nodes are fine and alike"}, all...)

	poor, _ := o.user(t, "poor", reader()[:1]...)
	o.says(t, o.Outside, 2, []string{"0 of 2 nodes", "the verb get on pods/proxy is needed, or use --direct"}, "status", "--all-nodes", "--kubeconfig", poor)
	none, _ := o.user(t, "none")
	o.says(t, o.Outside, 2, []string{"find agents: ", "cannot list resource \"pods\""}, "status", "--all-nodes", "--kubeconfig", none)
}

// byPort asks all agents at the port of the chart, with a token and a certificate that the
// cluster's authority signed.
func byPort(t *testing.T, o *onCall) {
	t.Helper()
	for _, n := range o.Nodes {
		pod, err := o.api.CoreV1().Pods(agentNamespace).Get(t.Context(), "fairlead-"+n.Name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if err := o.api.CoreV1().Pods(agentNamespace).Delete(t.Context(), pod.Name, metav1.DeleteOptions{GracePeriodSeconds: new(int64)}); err != nil {
			t.Fatal(err)
		}
		fresh := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: pod.Name, Namespace: agentNamespace, Labels: pod.Labels}, Spec: pod.Spec}
		o.setPort(fresh, "https-metrics", 10249)
		if _, err := o.api.CoreV1().Pods(agentNamespace).Create(t.Context(), fresh, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		fresh.Status = pod.Status
		if _, err := o.api.CoreV1().Pods(agentNamespace).UpdateStatus(t.Context(), fresh, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	kubeconfig, _ := o.user(t, "direct", reader()[0], rbacv1.PolicyRule{NonResourceURLs: []string{"/state"}, Verbs: []string{"get"}})
	direct := []string{"status", "--all-nodes", "--kubeconfig", kubeconfig, "--direct", "--agent-ca", o.plane.CAFile()}
	o.says(t, o.Outside, 0, []string{"2 of 2 nodes are fine and alike"}, direct...)
	o.says(t, o.Outside, 2, []string{"0 of 2 nodes", "use --direct"}, direct[:4]...)
	o.says(t, o.Outside, 2, []string{"0 of 2 nodes", "certificate signed by unknown authority"}, direct[:5]...)
	poor := filepath.Join(o.dir, "poor.kubeconfig")
	o.says(t, o.Outside, 2, []string{"0 of 2 nodes", "system:serviceaccount:kube-system:poor may not get the URL /state"}, "status", "--all-nodes", "--kubeconfig", poor, "--direct", "--agent-ca", o.plane.CAFile())
	admin, err := o.plane.Kubeconfig("by-certificate.kubeconfig", o.plane.URL(), o.plane.AdminAuth())
	if err != nil {
		t.Fatal(err)
	}
	o.says(t, o.Outside, 2, []string{"its port wants a token, and the kubeconfig has none"}, "status", "--all-nodes", "--kubeconfig", admin, "--direct", "--agent-ca", o.plane.CAFile())
}
