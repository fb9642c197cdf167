package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// certificate writes a certificate for 127.0.0.1 that vouches for itself.
func certificate(t *testing.T, dir string) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, block := range map[string]*pem.Block{
		cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: pkcs8},
	} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

func TestServersSpeakTLSWithGivenCertificates(t *testing.T) {
	t.Parallel()
	w := &world{dir: t.TempDir(), aliceEnv: "alice.env", bobs: "bob.env"}
	cert, key := certificate(t, w.dir)
	w.ca = cert
	w.registry = start(t, w.dir, "identity", "serve", "--addr", "127.0.0.1:0", "--data", "registry", "--tls-cert", cert, "--tls-key", key)
	if w.url = w.registry.value(t, "identity registry"); !strings.HasPrefix(w.url, "https://") {
		t.Errorf("the registry is at %s", w.url)
	}
	w.alice = w.setup(t, w.aliceEnv, "--key-type", "ed25519")
	w.bob = w.setup(t, w.bobs, "--key-type", "ed25519")
	w.allow(t)
	agent := start(t, w.dir, "agent", "serve", "--addr", "127.0.0.1:0", "--env-file", w.bobs, "--require-proof", "--tls-cert", cert, "--tls-key", key)
	url := agent.value(t, "url")
	if !strings.HasPrefix(url, "wss://") {
		t.Errorf("the agent is at %s", url)
	}
	send := []string{"send", w.bob, "--url", url, "--env-file", w.aliceEnv, "--data", `{"text":"hello"}`}
	fails(t, 1, "unreachable: tls: failed to verify certificate", w.dir, send...)
	c := command(t, w.dir, send...)
	c.Env = append(c.Env, "SSL_CERT_FILE="+cert)
	if r := finish(t, c); r.code != 0 || !strings.Contains(r.out, `"text":"hello"`) {
		t.Errorf("code %d: %s%s", r.code, r.out, r.stderr)
	}
	agent.stop(t, syscall.SIGINT)
	w.registry.stop(t, syscall.SIGTERM)
}

func TestInterruptedDemoSaysSo(t *testing.T) {
	t.Parallel()
	demo := start(t, t.TempDir(), "demo")
	for l := range demo.lines {
		if strings.Contains(l, "A handler never returns") { // it takes half a second
			break
		}
	}
	if err := demo.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	<-demo.ended
	if code := demo.cmd.ProcessState.ExitCode(); code != 1 || demo.logged() != "pando: interrupted\n" {
		t.Errorf("code %d: %q", code, demo.logged())
	}
}
