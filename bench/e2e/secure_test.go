// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"fairlead/internal/lab"
)

// docOf is an object of the chart.
type docOf = *unstructured.Unstructured

// scraper gets URLs of an agent's port with TLS as Prometheus does: it verifies the
// certificate.
type scraper struct {
	client *http.Client
	host   string
}

func (o *onCall) scraper(t *testing.T, n *lab.Node) *scraper {
	t.Helper()
	pem, err := os.ReadFile(o.plane.CAFile())
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		t.Fatal("no certificate of the authority")
	}
	return &scraper{host: net.JoinHostPort(n.Addr4.String(), securePort), client: &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12},
		DialContext: func(ctx context.Context, network, addr string) (conn net.Conn, err error) {
			err = o.Outside.NS.Do(func() error {
				conn, err = new(net.Dialer).DialContext(ctx, network, addr)
				return err
			})
			return conn, err
		},
	}}}
}

func (s *scraper) get(ctx context.Context, path, token string) (int, string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+s.host+path, nil)
	if err != nil {
		return 0, "", err
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body), err
}

// gets waits until a token meets a code and a text: answers of the API server are kept for
// up to a minute.
func (s *scraper) gets(t *testing.T, path, token string, code int, text string) {
	t.Helper()
	eventually(t, fmt.Sprintf("%s answers %d", path, code), func(ctx context.Context) error {
		got, body, err := s.get(ctx, path, token)
		if err == nil && (got != code || !strings.Contains(body, text)) {
			err = fmt.Errorf("%d %.300s, want %q", got, body, text)
		}
		return err
	})
}

// secureMetrics: the API server says whose a token is, and what its user may get.
func secureMetrics(t *testing.T, o *onCall) {
	t.Helper()
	s := o.scraper(t, o.Nodes[0])
	_, prometheus := o.user(t, "prometheus")
	o.bind(t, "prometheus", "fairlead-metrics-reader")
	_, guest := o.user(t, "guest")
	expired, err := o.plane.ExpiredToken(t.Context(), agentNamespace, "prometheus")
	if err != nil {
		t.Fatal(err)
	}
	s.gets(t, "/metrics", prometheus, http.StatusOK, "fairlead_frontends")
	s.gets(t, "/metrics", guest, http.StatusForbidden, "system:serviceaccount:kube-system:guest may not get the URL /metrics")
	s.gets(t, "/metrics", "", http.StatusUnauthorized, "bearer token")
	s.gets(t, "/metrics", expired, http.StatusUnauthorized, "does not know this token")
	s.gets(t, "/metrics", prometheus[:len(prometheus)-4]+"AAAA", http.StatusUnauthorized, "does not know this token")
	s.gets(t, "/state", prometheus, http.StatusForbidden, "may not get the URL /state")

	// A right that is taken away, and an account that is deleted, count within a minute.
	if err := o.api.RbacV1().ClusterRoleBindings().Delete(t.Context(), "prometheus-fairlead-metrics-reader", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	s.gets(t, "/metrics", prometheus, http.StatusForbidden, "system:serviceaccount:kube-system:prometheus may not get")
	o.bind(t, "prometheus", "fairlead-metrics-reader")
	s.gets(t, "/metrics", prometheus, http.StatusOK, "fairlead_frontends")
	if err := o.api.CoreV1().ServiceAccounts(agentNamespace).Delete(t.Context(), "guest", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	s.gets(t, "/metrics", guest, http.StatusUnauthorized, "does not know this token")
}

// secureMetricsAlone: while the API server is away, users that are known go on to read, and
// others hear that it is not known whether they may. Afterwards they may.
func secureMetricsAlone(t *testing.T, o *onCall) {
	t.Helper()
	s := o.scraper(t, o.Nodes[1])
	prometheus, err := o.plane.Token(t.Context(), agentNamespace, "prometheus")
	if err != nil {
		t.Fatal(err)
	}
	other, err := o.plane.Token(t.Context(), agentNamespace, "prometheus")
	if err == nil && other == prometheus {
		err = errors.New("two tokens are the same")
	}
	if err != nil {
		t.Fatal(err)
	}
	s.gets(t, "/metrics", prometheus, http.StatusOK, "fairlead_frontends")
	if err := o.plane.KillAPIServer(); err != nil {
		t.Fatal(err)
	}
	for token, want := range map[string]int{prometheus: http.StatusOK, other: http.StatusServiceUnavailable, "": http.StatusUnauthorized} {
		if code, body, err := s.get(t.Context(), "/metrics", token); err != nil || code != want {
			t.Errorf("while the API server is away: %d %.200s, %v, want %d", code, body, err, want)
		}
	}
	s.gets(t, "/metrics", prometheus, http.StatusServiceUnavailable, "") // what is known is too old
	if err := o.plane.StartAPIServer(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.gets(t, "/metrics", other, http.StatusOK, "fairlead_frontends")
	s.gets(t, "/metrics", prometheus, http.StatusOK, "fairlead_frontends")
}
