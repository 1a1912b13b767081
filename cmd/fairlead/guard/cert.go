// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"os"
	"sync"
	"time"

	"k8s.io/klog/v2"
)

const (
	// lookEvery is the shortest time between two looks at the files of a certificate.
	lookEvery = 10 * time.Second
	// ownTime is how long a self-signed certificate is valid. A new one follows after
	// half of it.
	ownTime = 365 * 24 * time.Hour
	// maxFile bounds a file, in bytes.
	maxFile = 1 << 20
)

// Certificate is the certificate of a server: that of two files, read again when they
// change, or one that is made in memory and signed by itself. Its methods are safe for
// concurrent use.
type Certificate struct {
	certFile, keyFile string
	names             []string
	log               klog.Logger

	mu         sync.Mutex
	looked     time.Time
	cert, key  []byte // of the files
	now        *tls.Certificate
	complained string
}

// NewCertificate reads the files, or makes a certificate for names and addresses if the
// files are "".
func NewCertificate(log klog.Logger, certFile, keyFile string, names []string) (*Certificate, error) {
	c := &Certificate{certFile: certFile, keyFile: keyFile, names: names, log: log}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c, c.look(time.Now())
}

// Config returns the configuration of a server. Each handshake takes the newest
// certificate.
func (c *Certificate) Config() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.get(time.Now()), nil }}
}

// get looks at the files when it is time. While they are wrong the last good certificate
// stays in use.
func (c *Certificate) get(at time.Time) *tls.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	if at.Sub(c.looked) < lookEvery {
		return c.now
	}
	text := ""
	if err := c.look(at); err != nil {
		text = err.Error()
	}
	if text != "" && text != c.complained {
		c.log.Error(nil, "The new TLS certificate cannot be used, the last one stays", "reason", text)
	}
	c.complained = text
	return c.now
}

// look needs c.mu.
func (c *Certificate) look(at time.Time) error {
	c.looked = at
	if c.certFile == "" {
		if c.now != nil && at.Before(c.now.Leaf.NotAfter.Add(-ownTime/2)) {
			return nil
		}
		own, err := selfSigned(c.names, at)
		if err == nil {
			c.now = own
		}
		return err
	}
	cert, err := read(c.certFile)
	if err != nil {
		return err
	}
	key, err := read(c.keyFile)
	if err != nil {
		return err
	}
	if bytes.Equal(cert, c.cert) && bytes.Equal(key, c.key) {
		return nil
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return fmt.Errorf("%s and %s: %w", c.certFile, c.keyFile, err)
	}
	if c.now != nil {
		c.log.Info("Using a new TLS certificate", "file", c.certFile, "validUntil", pair.Leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	c.cert, c.key, c.now = cert, key, &pair
	return nil
}

func read(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err //nolint:wrapcheck // it names the file
	}
	if !info.Mode().IsRegular() || info.Size() > maxFile {
		return nil, fmt.Errorf("%s: is no file of at most %d bytes", path, maxFile)
	}
	return os.ReadFile(path) //nolint:wrapcheck // it names the file
}

func selfSigned(names []string, at time.Time) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("make a serial number: %w", err)
	}
	template := x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "fairlead"},
		NotBefore: at.Add(-time.Hour), NotAfter: at.Add(ownTime), // the clock of a client may be late
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, BasicConstraintsValid: true,
	}
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, n)
		}
	}
	raw, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("make a certificate: %w", err)
	}
	leaf, err := x509.ParseCertificate(raw)
	if err != nil {
		return nil, fmt.Errorf("read the own certificate: %w", err)
	}
	return &tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: key, Leaf: leaf}, nil
}
