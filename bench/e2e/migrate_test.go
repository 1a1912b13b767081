// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fairlead/internal/lab/labtest"
)

// TestMigration moves nodes from flannel and kube-proxy to fairlead and one of
// them back, as docs/migration.md says, while connections are made between all of
// them. None may fail.
//
//	node-1: flannel and kube-proxy (nftables) -> fairlead -> flannel and kube-proxy
//	node-2: flannel and kube-proxy (iptables) -> fairlead
//	node-3: fairlead, always
func TestMigration(t *testing.T) {
	c := newCluster(t, 3)
	c.install(t)
	c.allowStatus(t)
	for _, n := range c.Nodes {
		labtest.Pod(t, n, clientPod(n), 0)
	}
	r := &run{cluster: c}
	for i := range 3 {
		r.addPod(t, c.Nodes[i])
	}
	r.steady = c.expose(t, "steady", "steady")
	r.ways = c.paths(t, r.steady)
	c.awaitSlices(t, r.steady.Name, len(r.pods))

	compat := []string{"--flannel-compat", "--ip-masq"}
	replace := append(compat, "--replace=kube-proxy,flannel")
	old := []*others{c.newOthers(t, c.Nodes[0], "nftables"), c.newOthers(t, c.Nodes[1], "iptables")}
	for _, o := range old {
		o.start(t)
	}
	third := c.newAgent(t, c.Nodes[2], compat...)
	third.start(t)
	third.awaitSync(t)
	for _, p := range r.pods {
		meets(t, r.ways, p.Name)
	}
	r.load = startLoad(t, r.ways)
	r.load.goesOn(t)

	first, second := c.newAgent(t, c.Nodes[0], replace...), c.newAgent(t, c.Nodes[1], replace...)
	r.scene(t, "node-1 comes to fairlead", func(t *testing.T) {
		t.Helper()
		old[0].toFairlead(t, func() {
			old[0].stop(t)
			first.start(t)
		})
	})
	r.scene(t, "node-2 comes to fairlead, which starts first", func(t *testing.T) {
		t.Helper()
		old[1].toFairlead(t, func() {
			second.start(t)
			for _, who := range []string{"kube-proxy", "flannel"} {
				second.logged(t, 0, `"Waiting for a replaced program to end before removing its objects" program="`+who+`"`)
			}
			second.logged(t, 0, `"Made the overlay ready"`)
			if left := old[1].leftovers(t); !strings.Contains(left, "KUBE-SERVICES") || !strings.Contains(left, "FLANNEL") {
				t.Errorf("what still runs has lost its rules; left are:\n%s", left)
			}
			r.load.goesOn(t) // beside each other
			old[1].stop(t)
		})
	})
	r.scene(t, "node-1 goes back", func(t *testing.T) {
		t.Helper()
		old[0].fromFairlead(t, first)
	})
	r.load.stop(t)
}

func (r *run) scene(t *testing.T, name string, f func(*testing.T)) {
	t.Helper()
	play := func(t *testing.T, _ *run) {
		t.Helper()
		f(t)
	}
	if !t.Run(name, func(t *testing.T) { r.play(t, scene{name, play}) }) {
		t.FailNow()
	}
}

// toFairlead is section "Move a node to fairlead" of docs/migration.md.
// move ends flannel and kube-proxy and starts the agent.
func (o *others) toFairlead(t *testing.T, move func()) {
	t.Helper()
	v4, v6 := o.index(t, "flannel.1"), o.index(t, "flannel-v6.1")
	if left := o.leftovers(t); !strings.Contains(left, "flannel") && !strings.Contains(left, "FLANNEL") || !strings.Contains(left, "kube-proxy") && !strings.Contains(left, "KUBE-SERVICES") {
		t.Fatalf("flannel and kube-proxy have done nothing: %s", left)
	}
	move()
	eventually(t, "nothing is left of flannel and kube-proxy", func(context.Context) error {
		if left := o.leftovers(t); left != "" {
			return fmt.Errorf("left: %s", left)
		}
		return nil
	})
	if got4, got6 := o.index(t, "flannel.1"), o.index(t, "flannel-v6.1"); got4 != v4 || got6 != v6 {
		t.Errorf("devices %s, %s were made anew: %s, %s", v4, v6, got4, got6)
	}
	if routes := o.shell(t, "ip route show dev flannel.1; ip -6 route show dev flannel-v6.1 | grep via"); strings.Count(routes, "proto 102") != strings.Count(routes, " via ") {
		t.Errorf("not all routes are fairlead's:\n%s", routes)
	}
}

// fromFairlead is section "Move a node back" of docs/migration.md.
func (o *others) fromFairlead(t *testing.T, a *agent) {
	t.Helper()
	v4 := o.index(t, "flannel.1")
	a.stop(t)
	o.start(t)
	// The control plane's Node, which runs neither, is reached from fairlead only.
	eventually(t, "flannel takes all routes", func(context.Context) error {
		routes := o.shell(t, "{ ip route show dev flannel.1; ip -6 route show dev flannel-v6.1; } | grep 'proto 102' | grep -vE '^(10.244.0.0/24|fd00:10:244::/64)' || true")
		if routes != "" {
			return fmt.Errorf("not all are flannel's:\n%s", routes)
		}
		return nil
	})
	out := o.shell(t, fmt.Sprintf("%s cleanup --of=fairlead --cni-conf-dir=%s --subnet-file=%s", a.binary, o.dir, o.path("subnet.env")))
	want := "fairlead: removed table inet fairlead\n"
	for _, d := range []string{"flannel.1", "flannel-v6.1"} {
		want += "fairlead: left in place: device " + d + ": flannel may use it again; to remove it: fairlead cleanup --of=fairlead,flannel\n"
	}
	out = dropLines(out, "fairlead: removed route 10.244.0.0/24 ", "fairlead: removed route fd00:10:244::/64 ")
	if out != want {
		t.Errorf("cleanup says:\n%swant:\n%s", out, want)
	}
	if got := o.index(t, "flannel.1"); got != v4 {
		t.Errorf("flannel.1 was made anew: %s, was %s", got, v4)
	}
	if tables := o.shell(t, "nft list tables"); strings.Contains(tables, "fairlead") {
		t.Errorf("left: %s", tables)
	}
	if _, err := os.Stat(filepath.Join(o.dir, "subnet.env")); err != nil {
		t.Errorf("flannel's file: %v", err)
	}
}

// dropLines leaves out the lines that begin with one of the prefixes, of which
// there has to be one each.
func dropLines(text string, prefixes ...string) string {
	for _, p := range prefixes {
		if before, rest, ok := strings.Cut(text, p); ok {
			_, rest, _ = strings.Cut(rest, "\n")
			text = before + rest
		} else {
			text += "missing: " + p + "\n"
		}
	}
	return text
}

// allowStatus gives the agent what the chart gives it with flannelCompat.
func (c *cluster) allowStatus(t *testing.T) {
	t.Helper()
	role := &rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{Name: "fairlead-flannel-compat"},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"nodes/status"}, Verbs: []string{"patch"}}},
	}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: role.ObjectMeta,
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: agentNamespace, Name: agentAccount}},
	}
	_, err := c.api.RbacV1().ClusterRoles().Create(t.Context(), role, metav1.CreateOptions{})
	if err == nil {
		_, err = c.api.RbacV1().ClusterRoleBindings().Create(t.Context(), binding, metav1.CreateOptions{})
	}
	if err != nil {
		t.Fatal(err)
	}
}
