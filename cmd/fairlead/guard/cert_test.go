// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/klog/v2/ktesting"
)

// store writes a certificate for a name as files, as a Secret is mounted: behind a link
// that changes.
func store(t *testing.T, dir, name string) {
	t.Helper()
	pair, err := selfSigned([]string{name}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok {
		t.Fatal("no ECDSA key")
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	version := filepath.Join(dir, "..version-"+name)
	link := filepath.Join(dir, "..data")
	err = errors.Join(
		os.Mkdir(version, 0o700),
		os.WriteFile(filepath.Join(version, "tls.crt"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]}), 0o600),
		os.WriteFile(filepath.Join(version, "tls.key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600),
		os.Symlink(version, link+".new"), os.Rename(link+".new", link))
	if err != nil {
		t.Fatal(err)
	}
}

func nameOf(c *tls.Certificate) string { return strings.Join(c.Leaf.DNSNames, ",") }

// TestCertificateFiles follows a Secret that is replaced, keeps the last certificate while
// the files are wrong, and says so once.
func TestCertificateFiles(t *testing.T) {
	log, _ := ktesting.NewTestContext(t)
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "..data", "tls.crt"), filepath.Join(dir, "..data", "tls.key")
	if _, err := NewCertificate(log, cert, key, nil); err == nil || !strings.Contains(err.Error(), cert) {
		t.Errorf("files that are missing: %v", err)
	}
	store(t, dir, "one")
	c, err := NewCertificate(log, cert, key, nil)
	if err != nil {
		t.Fatal(err)
	}
	at := c.looked
	later := func() time.Time { at = at.Add(lookEvery + time.Second); return at }
	store(t, dir, "two")
	if got := nameOf(c.get(at.Add(time.Second))); got != "one" {
		t.Errorf("the files are read again after a second: %s", got)
	}
	if got := nameOf(c.get(later())); got != "two" {
		t.Errorf("the new certificate is %s", got)
	}
	for what, spoil := range map[string]func() error{
		"garbage":  func() error { return os.WriteFile(cert, []byte("x"), 0o600) },
		"no file":  func() error { return nil },
		"a device": func() error { return os.Symlink("/dev/zero", cert) },
	} {
		_ = os.Remove(cert)
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		if got := c.get(later()); nameOf(got) != "two" || c.complained == "" {
			t.Errorf("%s: %s, %q", what, nameOf(got), c.complained)
		}
	}
	store(t, dir, "three")
	if got := c.get(later()); nameOf(got) != "three" || c.complained != "" {
		t.Errorf("after repair: %s, %q", nameOf(got), c.complained)
	}
}

// TestSelfSigned makes a certificate for names and addresses, and a new one in time.
func TestSelfSigned(t *testing.T) {
	log, _ := ktesting.NewTestContext(t)
	c, err := NewCertificate(log, "", "", []string{"node-a", "192.0.2.1", "2001:db8::1"})
	if err != nil {
		t.Fatal(err)
	}
	first := c.get(time.Now())
	for _, name := range []string{"node-a", "192.0.2.1", "2001:db8::1"} {
		if err := first.Leaf.VerifyHostname(name); err != nil {
			t.Error(err)
		}
	}
	if c.get(time.Now().Add(time.Hour)) != first {
		t.Error("a new certificate after an hour")
	}
	half := time.Now().Add(ownTime/2 + time.Hour)
	if next := c.get(half); next == first || !next.Leaf.NotAfter.After(half.Add(ownTime/2)) {
		t.Errorf("after half of its time the certificate is valid until %s", next.Leaf.NotAfter)
	}
}
