package server

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// serving runs a registry on a free port with development certificates.
func serving(t *testing.T, edit ...func(*Options)) (r *rig, client *http.Client, stop func() error) {
	t.Helper()
	r = newRig(t, edit...)
	conf, caFile, err := DevTLS(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(caFile)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(text)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.url = "https://" + ln.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- r.s.Serve(ctx, ln, conf) }()
	client = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}}
	stop = func() error {
		client.CloseIdleConnections()
		cancel()
		err := <-served
		served <- err // it may be asked again
		return err
	}
	t.Cleanup(func() { _ = stop() })
	return r, client, stop
}

func TestServeAnswersOverTLSUntilToldToStop(t *testing.T) {
	t.Parallel()
	r, client, stop := serving(t)
	resp, err := client.Get(r.url + "/health")
	if err != nil {
		t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil || resp.StatusCode != 200 {
		t.Fatalf("status %d, %v", resp.StatusCode, err)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Get(r.url + "/health"); err == nil {
		t.Fatal("it still answers")
	}
}

func TestServeReportsABrokenListener(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	if err := r.s.Serve(context.Background(), ln, nil); !errors.Is(err, ErrServe) {
		t.Fatalf("error %v, want ErrServe", err)
	}
}

func TestHugeHeadersAreRefused(t *testing.T) {
	t.Parallel()
	r, client, _ := serving(t)
	req, err := http.NewRequestWithContext(t.Context(), "POST", r.url+"/tokens/verify", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("authorization", strings.Repeat("x", 4*maxHeader))
	resp, err := client.Do(req)
	if err != nil {
		return // the connection was cut: as good
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Fatalf("status %d", resp.StatusCode)
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(o *Options) { o.Limits.Connections = 2 })
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- r.s.Serve(ctx, ln, nil) }()
	open := func() net.Conn {
		c, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Fprintf(c, "GET /health HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		return c
	}
	answered := func(c net.Conn, within time.Duration) error {
		_ = c.SetReadDeadline(time.Now().Add(within))
		_, err := bufio.NewReader(c).ReadString('\n')
		return err
	}
	a, b := open(), open()
	for _, c := range []net.Conn{a, b} {
		if err := answered(c, 10*time.Second); err != nil {
			t.Fatal(err)
		}
	}
	c := open()
	if err := answered(c, 100*time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("the third was answered: %v", err)
	}
	_ = a.Close()
	if err := answered(c, 10*time.Second); err != nil {
		t.Fatalf("the third was not answered after the first had gone: %v", err)
	}
	d := open() // waits in Accept's place when the server stops
	cancel()
	_ = errors.Join(b.Close(), c.Close())
	if err := <-served; err != nil {
		t.Fatal(err)
	}
	_ = d.Close()
}
