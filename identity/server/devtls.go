package server

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

const (
	caLifetime   = 10 * 365 * 24 * time.Hour
	leafLifetime = 90 * 24 * time.Hour
	// The clock of whoever checks a new certificate may be behind.
	backdate = 24 * time.Hour
)

// DevTLS returns a TLS configuration for a developer's machine and the file of
// the certificate authority that clients have to trust (SSL_CERT_FILE and
// AUTHED_CA_FILE name it). The authority is made once and kept in dir/tls; its
// key has mode 0600. Certificates are for localhost, 127.0.0.1, ::1 and
// hosts, which are names or addresses; they live in memory only and are renewed
// while the server runs. They satisfy RFC 5280 in the strict reading of OpenSSL
// and Python 3.13. The error is an [*Error].
func DevTLS(dir string, hosts []string) (conf *tls.Config, caFile string, err error) {
	conf, caFile, err = devTLS(dir, hosts, time.Now)
	if err != nil {
		return nil, "", failed(ErrKey, "make development certificates", err)
	}
	return conf, caFile, nil
}

func devTLS(dir string, hosts []string, now func() time.Time) (*tls.Config, string, error) {
	a := &authority{dir: filepath.Join(dir, "tls"), now: now}
	for _, h := range append([]string{"localhost", "127.0.0.1", "::1"}, hosts...) {
		if err := a.addHost(h); err != nil {
			return nil, "", err
		}
	}
	if err := os.MkdirAll(a.dir, 0o700); err != nil {
		return nil, "", err
	}
	if err := a.load(); err != nil {
		return nil, "", err
	}
	if _, err := a.certificate(nil); err != nil {
		return nil, "", err
	}
	conf := &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: a.certificate}
	return conf, a.file("ca.pem"), nil
}

// authority is a certificate authority with one leaf at a time.
type authority struct {
	dir   string
	now   func() time.Time
	names []string
	ips   []net.IP

	key  *ecdsa.PrivateKey
	cert *x509.Certificate

	mu   sync.Mutex
	leaf *tls.Certificate
}

func (a *authority) file(name string) string { return filepath.Join(a.dir, name) }

func (a *authority) addHost(h string) error {
	if ip := net.ParseIP(h); ip != nil {
		a.ips = append(a.ips, ip)
		return nil
	}
	if h == "" || strings.ContainsAny(h, " :/@") {
		return fmt.Errorf("%q is neither a host name nor an address", h)
	}
	a.names = append(a.names, strings.ToLower(h))
	return nil
}

// load reads the authority, or makes it if there is none or it is about to end.
func (a *authority) load() error {
	if err := a.read(); err != nil {
		return err
	}
	if a.now().Add(leafLifetime).Before(a.cert.NotAfter) {
		return nil
	}
	if err := errors.Join(os.Remove(a.file("ca.pem")), os.Remove(a.file("ca.key"))); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return a.read()
}

// read makes what is missing. The key comes first: whoever finds a key without a
// certificate can make that, so two processes that start at once agree.
func (a *authority) read() error {
	text, err := createOnce(a.file("ca.key"), 0o600, newCAKey)
	if err != nil {
		return err
	}
	if err := checkPrivate(a.file("ca.key")); err != nil {
		return err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return fmt.Errorf("%s is not PEM", a.file("ca.key"))
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return fmt.Errorf("%s is not a PKCS#8 key", a.file("ca.key"))
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return fmt.Errorf("%s is not an ECDSA key", a.file("ca.key"))
	}
	a.key = key
	text, err = createOnce(a.file("ca.pem"), 0o644, a.newCA)
	if err != nil {
		return err
	}
	if block, _ = pem.Decode(text); block == nil {
		return fmt.Errorf("%s is not PEM", a.file("ca.pem"))
	}
	if a.cert, err = x509.ParseCertificate(block.Bytes); err != nil {
		return fmt.Errorf("%s: %w", a.file("ca.pem"), err)
	}
	if !key.PublicKey.Equal(a.cert.PublicKey) {
		return fmt.Errorf("ca.key and ca.pem in %s do not belong together: remove both", a.dir)
	}
	return nil
}

func newCAKey() ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

func (a *authority) newCA() ([]byte, error) {
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	id, err := keyID(a.key)
	if err != nil {
		return nil, err
	}
	t := &x509.Certificate{
		SerialNumber: serial,
		// The name is different for each: two authorities of one name confuse OpenSSL.
		Subject:               pkix.Name{CommonName: fmt.Sprintf("Pando development CA %x", id[:4])},
		NotBefore:             a.now().Add(-backdate),
		NotAfter:              a.now().Add(caLifetime),
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		SubjectKeyId:          id,
		AuthorityKeyId:        id,
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, &a.key.PublicKey, a.key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}

// certificate returns the current leaf, a new one in the last third of its life.
func (a *authority) certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.leaf != nil && a.now().Add(leafLifetime/3).Before(a.leaf.Leaf.NotAfter) {
		return a.leaf, nil
	}
	leaf, err := a.newLeaf()
	if err != nil {
		return nil, fmt.Errorf("renew the certificate: %w", err)
	}
	a.leaf = leaf
	return leaf, nil
}

func (a *authority) newLeaf() (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	id, err := keyID(key)
	if err != nil {
		return nil, err
	}
	end := a.now().Add(leafLifetime)
	if end.After(a.cert.NotAfter) {
		end = a.cert.NotAfter
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: "Pando development server"},
		NotBefore:             a.now().Add(-backdate),
		NotAfter:              end,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		SubjectKeyId:          id,
		DNSNames:              a.names,
		IPAddresses:           a.ips,
	}, a.cert, &key.PublicKey, a.key)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, err
}

func newSerial() (*big.Int, error) {
	var raw [16]byte
	if _, err := rand.Read(raw[:]); err != nil {
		return nil, err
	}
	raw[0] = raw[0]&0x7f | 0x40 // positive, and never shorter than the rest
	return new(big.Int).SetBytes(raw[:]), nil
}

// keyID is a subject key identifier (RFC 7093 §2, method 1).
func keyID(key *ecdsa.PrivateKey) ([]byte, error) {
	point, err := key.PublicKey.Bytes()
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(point)
	return bytes.Clone(sum[:20]), nil
}
