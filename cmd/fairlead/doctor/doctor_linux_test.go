// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/nftables/expr"
	"github.com/vishvananda/netlink"
	authv1 "k8s.io/api/authorization/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"fairlead/cmd/fairlead/doctor/finding"
	"fairlead/cmd/fairlead/options"
	"fairlead/conntrack"
	"fairlead/internal/nstest"
	"fairlead/nat/ruleset"
)

func TestMain(m *testing.M) {
	if nstest.Available() { // tests listen on 127.0.0.1 of their own namespace
		lo, err := netlink.LinkByName("lo")
		if err == nil {
			err = netlink.LinkSetUp(lo)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	nstest.Main(m)
}

func newDoctor() *doctor {
	d := &doctor{Input: Input{Config: &options.Config{}}, report: &finding.Report{}}
	d.Config.Proxier.NodeName = "node-a"
	return d
}

// want fails unless the only finding has this severity, evidence and remedy.
func (d *doctor) want(t *testing.T, s finding.Severity, evidence, remedy string) {
	t.Helper()
	if n := len(d.report.Findings); n != 1 {
		t.Fatalf("%d findings, want 1: %s", n, d.report.Text())
	}
	f := d.report.Findings[0]
	if f.Severity != s || !strings.Contains(f.Evidence, evidence) || !strings.Contains(strings.Join(f.Remedy, "\n"), remedy) || (s >= finding.Warning) != (len(f.Remedy) > 0) {
		t.Errorf("found %+v, want %s %q, %q", f, s, evidence, remedy)
	}
}

// TestKernel names the expression that the kernel lacks, and its module.
func TestKernel(t *testing.T) {
	nstest.Need(t)
	for _, f := range ruleset.Features() {
		if f.Module != "nft_fib_inet" {
			continue
		}
		f.Exprs = []expr.Any{&expr.Fib{Register: 99, ResultADDRTYPE: true}}
		d := newDoctor()
		d.judgeKernel(t.Context(), []ruleset.Feature{f})
		d.want(t, finding.Error, "refuses the expression fib (module nft_fib_inet), needed for NodePorts", "modprobe nft_fib_inet")
	}
}

// TestConntrack judges how full the table of flows is. The limit belongs to the machine.
func TestConntrack(t *testing.T) {
	for _, tt := range []struct {
		fill     conntrack.Fill
		severity finding.Severity
		evidence string
	}{
		{conntrack.Fill{Entries: 5}, finding.OK, "5 flows"},
		{conntrack.Fill{Entries: 79, Limit: 100}, finding.OK, "79 of at most 100"},
		{conntrack.Fill{Entries: 80, Limit: 100}, finding.Warning, "(80 %)"},
		{conntrack.Fill{Entries: 5, Limit: 100, Dropped: 7}, finding.Warning, "(5 %); since the node started, 7 packets were dropped because the table had no room"},
		{conntrack.Fill{Entries: 4 << 30 / 2, Limit: 4 << 30 / 2}, finding.Error, "(100 %)"},
	} {
		d := newDoctor()
		d.judgeConntrack(tt.fill)
		remedy := ""
		if tt.severity > finding.OK {
			remedy = "sysctl -w net.netfilter.nf_conntrack_max="
		}
		d.want(t, tt.severity, tt.evidence, remedy)
	}
}

// apiServer answers as an API server whose clock is off, and which denies a verb.
func apiServer(t *testing.T, denied string) *kubernetes.Clientset {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch r.URL.Path {
		case "/version":
			_, _ = fmt.Fprint(w, `{"gitVersion":"v1.37.2"}`)
		case "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews":
			var review authv1.SelfSubjectAccessReview
			if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
				t.Error(err)
			}
			a := review.Spec.ResourceAttributes
			review.Status.Allowed = a.Verb+" "+a.Resource != denied
			review.APIVersion, review.Kind = "authorization.k8s.io/v1", "SelfSubjectAccessReview"
			w.WriteHeader(http.StatusCreated)
			_ = json.NewEncoder(w).Encode(review)
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(server.Close)
	client, err := kubernetes.NewForConfig(&rest.Config{Host: server.URL, Timeout: 20 * time.Second, ContentConfig: rest.ContentConfig{ContentType: "application/json"}})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// TestRights reports each verb that the API server denies.
func TestRights(t *testing.T) {
	for denied, want := range map[string]struct {
		severity         finding.Severity
		evidence, remedy string
	}{
		"":                     {finding.OK, "permits all 15 requests", ""},
		"create tokenreviews":  {finding.Warning, "may not create tokenreviews.authentication.k8s.io, needed for --secure-metrics-bind-address", "verbs: [create]"},
		"watch endpointslices": {finding.Error, "may not watch endpointslices.discovery.k8s.io", `apiGroups: ["discovery.k8s.io"]`},
		"create events":        {finding.Warning, "may not create events", "apply the chart's ClusterRole"},
		"patch nodes":          {finding.Warning, "may not patch nodes/status", "verbs: [patch]"},
	} {
		d := newDoctor()
		d.Config.Node.SetCondition, d.Config.Serve.Secure.Addr = true, ":10250"
		d.Client = apiServer(t, denied)
		d.checkRights(t.Context())
		d.want(t, want.severity, want.evidence, want.remedy)
	}
}

// TestAPI: a server that is away makes the other checks unknown at once.
func TestAPI(t *testing.T) {
	d := newDoctor()
	d.Client = apiServer(t, "")
	d.checkAPI(t.Context())
	d.want(t, finding.OK, "version v1.37.2", "")
	client, err := kubernetes.NewForConfig(&rest.Config{Host: "http://127.0.0.1:1", Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	d = newDoctor()
	d.Client = client
	d.checkAPI(t.Context())
	d.want(t, finding.Error, "gives no answer", "--kubeconfig")
	d.report.Findings = nil
	d.checkRights(t.Context())
	d.want(t, finding.Unknown, "not known", "")
	d.report.Findings = nil
	d.checkObjects(t.Context())
	d.want(t, finding.Unknown, "not known", "")
}

// TestRefusals: each reason for which the API server is of no use has its own words. The
// clock is compared also with a server that refuses the credentials.
func TestRefusals(t *testing.T) {
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(map[string]int{"Bearer expired": http.StatusUnauthorized, "Bearer denied": http.StatusForbidden}[r.Header.Get("Authorization")])
	}))
	defer refusing.Close()
	cert := func(change func(*x509.Certificate)) (server *httptest.Server, ca []byte) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		template := &x509.Certificate{
			SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
			IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		}
		change(template)
		der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
		if err != nil {
			t.Fatal(err)
		}
		server = httptest.NewUnstartedServer(http.NotFoundHandler())
		server.TLS = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
		server.StartTLS()
		t.Cleanup(server.Close)
		return server, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	}
	expired, expiredCA := cert(func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Hour) })
	early, earlyCA := cert(func(c *x509.Certificate) { c.NotBefore = time.Now().Add(30 * time.Minute) })
	other, otherCA := cert(func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.IPv4(192, 0, 2, 1)} })
	good, _ := cert(func(*x509.Certificate) {})
	for name, tt := range map[string]struct {
		config           rest.Config
		evidence, remedy string
	}{
		"token":      {rest.Config{Host: refusing.URL, BearerToken: "expired"}, "does not accept the token or certificate", "check the clock"},
		"forbidden":  {rest.Config{Host: refusing.URL, BearerToken: "denied"}, "denies the request", "system:public-info-viewer"},
		"expired":    {rest.Config{Host: expired.URL, TLSClientConfig: rest.TLSClientConfig{CAData: expiredCA}}, "is not valid at the time of this node", "kubeadm certs renew"},
		"not yet":    {rest.Config{Host: early.URL, TLSClientConfig: rest.TLSClientConfig{CAData: earlyCA}}, "is not valid at the time of this node", "date -u"},
		"authority":  {rest.Config{Host: good.URL, TLSClientConfig: rest.TLSClientConfig{CAData: otherCA}}, "not signed by the authority", "certificate-authority"},
		"other host": {rest.Config{Host: other.URL, TLSClientConfig: rest.TLSClientConfig{CAData: otherCA}}, "not for the address", "certSANs"},
		"nobody":     {rest.Config{Host: "https://127.0.0.1:1"}, "gives no answer", "a firewall"},
	} {
		client, err := kubernetes.NewForConfig(&tt.config)
		if err != nil {
			t.Fatal(err)
		}
		d := newDoctor()
		d.Client = client
		d.checkAPI(t.Context())
		t.Log(name)
		d.want(t, finding.Error, tt.evidence, tt.remedy)
	}
	now := time.Now()
	d := newDoctor() // checkAPI takes the client away
	d.Clock = func() (time.Time, time.Time, bool) { return now, now.Add(time.Hour), true }
	d.checkClock(t.Context())
	d.want(t, finding.Error, "1h0m0s ahead", "chrony")
}

// TestClock compares two clocks.
func TestClock(t *testing.T) {
	now := time.Now()
	for diff, want := range map[time.Duration]finding.Severity{
		0: finding.OK, 5900 * time.Millisecond: finding.OK, 7 * time.Second: finding.Warning, -10 * time.Second: finding.Warning, 2 * time.Minute: finding.Error, -time.Hour: finding.Error,
	} {
		d := newDoctor()
		d.Client = apiServer(t, "")
		d.Clock = func() (time.Time, time.Time, bool) { return now, now.Add(diff), true }
		d.checkClock(t.Context())
		d.want(t, want, diff.Truncate(time.Second).Abs().String(), "")
	}
}

// TestDaemons reads the files of network daemons: a file that comes later overrides one
// that comes before.
func TestDaemons(t *testing.T) {
	for _, tt := range []struct {
		daemon func(string) (string, []string)
		files  map[string]string
		want   string
	}{
		{networkd, nil, "ManageForeignRoutes is yes"},
		{networkd, map[string]string{"etc/systemd/networkd.conf": "[Network]\n#ManageForeignRoutes=no\n"}, "ManageForeignRoutes is yes"},
		{networkd, map[string]string{"etc/systemd/networkd.conf": "[Network]\nManageForeignRoutes = no\n"}, ""},
		{networkd, map[string]string{"usr/lib/systemd/networkd.conf.d/a.conf": "ManageForeignRoutes=no", "etc/systemd/networkd.conf.d/a.conf": "ManageForeignRoutes=true"}, "is true"},
		{networkManager, nil, "leave fairlead's devices alone"},
		{networkManager, map[string]string{"etc/NetworkManager/conf.d/x.conf": "[keyfile]\nunmanaged-devices=interface-name:docker0\n"}, "leave fairlead's devices alone"},
		{networkManager, map[string]string{"etc/NetworkManager/conf.d/x.conf": "[keyfile]\nunmanaged-devices+=interface-name:fairlead*;interface-name:veth*\n"}, ""},
		{networkManager, map[string]string{"etc/NetworkManager/conf.d/x.conf": strings.Repeat("x", maxConfig+1)}, "is not known"},
	} {
		root := t.TempDir()
		for name, text := range tt.files {
			name = filepath.Join(root, name)
			if err := os.MkdirAll(filepath.Dir(name), 0o750); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		evidence, remedy := tt.daemon(root)
		if (tt.want == "") != (evidence == "") || !strings.Contains(evidence, tt.want) || strings.Contains(evidence, "so it") != (len(remedy) > 0) {
			t.Errorf("%v: %q, %q, want %q", tt.files, evidence, remedy, tt.want)
		}
	}
	if evidence, _ := networkd(filepath.Join(t.TempDir(), "absent")); !strings.Contains(evidence, "is not known") {
		t.Errorf("without its root directory: %q", evidence)
	}
}

// TestProgramNames recognises programs by their command lines.
func TestProgramNames(t *testing.T) {
	p := program{names: []string{"kube-proxy"}}
	for line, want := range map[string]bool{
		"kube-proxy": true, "/usr/local/bin/kube-proxy --config=x": true, "/hyperkube kube-proxy --v=2": true,
		"/usr/bin/python3 -Es /usr/sbin/kube-proxy --nofork": true, "vi kube-proxy.yaml": false, "grep -r x y kube-proxy": false, "": false,
	} {
		if got := p.is(strings.Split(line, " ")); got != want {
			t.Errorf("%q: %v, want %v", line, got, want)
		}
	}
}

// TestModules looks for modules where distributions list them.
func TestModules(t *testing.T) {
	root := t.TempDir()
	if has, known := hasModule(root, "vxlan"); has || known {
		t.Error("an empty machine says something")
	}
	dir := filepath.Join(root, "lib/modules", options.KernelRelease())
	if err := os.MkdirAll(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "modules.dep"), []byte("kernel/drivers/net/vxlan/vxlan.ko.xz: kernel/net/udp-tunnel.ko.xz\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if has, known := hasModule(root, "vxlan"); !has || !known {
		t.Error("vxlan is not found")
	}
	if has, known := hasModule(root, "udp_tunnel"); has || !known {
		t.Error("udp_tunnel is found")
	}
}
