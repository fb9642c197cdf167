package server

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

func leafOf(t *testing.T, conf *tls.Config) *x509.Certificate {
	t.Helper()
	c, err := conf.GetCertificate(&tls.ClientHelloInfo{})
	if err != nil {
		t.Fatal(err)
	}
	return c.Leaf
}

func readCA(t *testing.T, file string) (*x509.Certificate, *x509.CertPool) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	block, rest := pem.Decode(text)
	if block == nil || len(bytes.TrimSpace(rest)) != 0 {
		t.Fatal("the CA file is not one PEM block")
	}
	ca, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(ca)
	return ca, pool
}

func critical(c *x509.Certificate, id ...int) (present, critical bool) {
	for _, e := range c.Extensions {
		if e.Id.Equal(asn1.ObjectIdentifier(id)) {
			return true, e.Critical
		}
	}
	return false, false
}

func TestDevelopmentCertificatesAreStrict(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	conf, caFile, err := DevTLS(dir, []string{"ids.example", "10.1.2.3"})
	if err != nil {
		t.Fatal(err)
	}
	ca, pool := readCA(t, caFile)
	leaf := leafOf(t, conf)
	for _, name := range []string{"localhost", "127.0.0.1", "::1", "ids.example", "10.1.2.3"} {
		_, err := leaf.Verify(x509.VerifyOptions{Roots: pool, DNSName: name, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if leaf.VerifyHostname("elsewhere.example") == nil {
		t.Error("good for any host")
	}
	// What Python 3.13 insists on (X509_V_FLAG_X509_STRICT).
	for name, c := range map[string]*x509.Certificate{"ca": ca, "leaf": leaf} {
		for ext, id := range map[string][]int{"basicConstraints": {2, 5, 29, 19}, "keyUsage": {2, 5, 29, 15}} {
			if present, crit := critical(c, id...); !present || !crit {
				t.Errorf("%s of the %s: present %v, critical %v", ext, name, present, crit)
			}
		}
		if len(c.SubjectKeyId) == 0 || !bytes.Equal(c.AuthorityKeyId, ca.SubjectKeyId) {
			t.Errorf("key identifiers of the %s: %x, %x", name, c.SubjectKeyId, c.AuthorityKeyId)
		}
		if c.SerialNumber.Sign() <= 0 || c.SerialNumber.BitLen() > 159 || c.Version != 3 {
			t.Errorf("serial %v, version %d of the %s", c.SerialNumber, c.Version, name)
		}
	}
	if !ca.IsCA || !ca.MaxPathLenZero || ca.KeyUsage != x509.KeyUsageCertSign|x509.KeyUsageCRLSign || leaf.IsCA {
		t.Errorf("ca: %v %v %v, leaf: %v", ca.IsCA, ca.MaxPathLenZero, ca.KeyUsage, leaf.IsCA)
	}
	if m := mode(t, filepath.Join(dir, "tls", "ca.key")); m != 0o600 {
		t.Errorf("ca.key has mode %o", m)
	}
	verifyWithOpenSSL(t, caFile, leaf)
}

// verifyWithOpenSSL adds a second opinion where there is one to be had.
func verifyWithOpenSSL(t *testing.T, caFile string, leaf *x509.Certificate) {
	t.Helper()
	tool, err := exec.LookPath("openssl")
	if err != nil {
		t.Log("no openssl here: the fields above are all that was checked")
		return
	}
	file := filepath.Join(t.TempDir(), "leaf.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf.Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range [][]string{{"-verify_hostname", "localhost"}, {"-verify_ip", "::1"}} {
		args := append([]string{"verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", caFile}, append(name, file)...)
		if out, err := exec.Command(tool, args...).CombinedOutput(); err != nil {
			t.Errorf("openssl %v: %v\n%s", name, err, out)
		}
	}
}

func TestDevelopmentAuthorityIsKept(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, caFile, err := DevTLS(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	first, _ := readCA(t, caFile)
	conf, again, err := DevTLS(dir, []string{"new.example"})
	if err != nil || again != caFile {
		t.Fatalf("%s, %v", again, err)
	}
	second, pool := readCA(t, again)
	if !first.Equal(second) {
		t.Error("the authority was made anew")
	}
	if _, err := leafOf(t, conf).Verify(x509.VerifyOptions{Roots: pool, DNSName: "new.example"}); err != nil {
		t.Error(err)
	}
}

func TestDevelopmentCertificatesAreRenewed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := &clock{t: time.Now()}
	conf, caFile, err := devTLS(dir, nil, c.now)
	if err != nil {
		t.Fatal(err)
	}
	ca, pool := readCA(t, caFile)
	first := leafOf(t, conf)
	if !leafOf(t, conf).Equal(first) {
		t.Error("each handshake makes a certificate")
	}
	c.advance(leafLifetime*2/3 + time.Hour)
	second := leafOf(t, conf)
	if second.Equal(first) {
		t.Error("not renewed")
	}
	if _, err := second.Verify(x509.VerifyOptions{Roots: pool, CurrentTime: c.now().Add(leafLifetime / 2)}); err != nil {
		t.Error(err)
	}
	c.advance(caLifetime - leafLifetime)
	if _, _, err := devTLS(dir, nil, c.now); err != nil {
		t.Fatal(err)
	}
	if renewed, _ := readCA(t, caFile); renewed.Equal(ca) {
		t.Error("the authority was not renewed")
	}
}

func TestDevelopmentAuthorityThatWasTamperedWithIsRefused(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(dir string) error{
		"lost key":      func(dir string) error { return os.Remove(filepath.Join(dir, "ca.key")) },
		"readable key":  func(dir string) error { return os.Chmod(filepath.Join(dir, "ca.key"), 0o644) },
		"broken key":    func(dir string) error { return os.WriteFile(filepath.Join(dir, "ca.key"), []byte("x"), 0o600) },
		"broken ca.pem": func(dir string) error { return os.WriteFile(filepath.Join(dir, "ca.pem"), []byte("x"), 0o600) },
	} {
		dir := t.TempDir()
		if _, _, err := DevTLS(dir, nil); err != nil {
			t.Fatal(err)
		}
		if err := spoil(filepath.Join(dir, "tls")); err != nil {
			t.Fatal(err)
		}
		if _, _, err := DevTLS(dir, nil); !errors.Is(err, ErrKey) {
			t.Errorf("%s: error %v, want ErrKey", name, err)
		}
	}
	for _, host := range []string{"", "a b", "https://a", net.JoinHostPort("a", "1")} {
		if _, _, err := DevTLS(t.TempDir(), []string{host}); !errors.Is(err, ErrKey) {
			t.Errorf("host %q: error %v, want ErrKey", host, err)
		}
	}
}
