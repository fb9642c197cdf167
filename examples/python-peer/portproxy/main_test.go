package main

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

func TestLocalhostWithoutAPortLeadsToTheRegistry(t *testing.T) {
	t.Parallel()
	registry := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "asked for "+r.Host)
	}))
	defer registry.Close()
	ctx, stop := context.WithCancel(t.Context())
	out, said := io.Pipe()
	ran := make(chan error, 1)
	go func() {
		ran <- run(ctx, []string{"-listen", "127.0.0.1:0", "-from", "example.com:443", "-to", registry.Listener.Addr().String()}, said)
	}()
	line := make([]byte, 100)
	n, err := out.Read(line)
	if err != nil {
		t.Fatal(err)
	}
	address, err := url.Parse(strings.TrimSpace(strings.TrimPrefix(string(line[:n]), "set HTTPS_PROXY=")))
	if err != nil {
		t.Fatal(err)
	}
	transport := registry.Client().Transport.(*http.Transport).Clone()
	// The certificate of httptest is for example.com.
	transport.Proxy, transport.DisableKeepAlives = http.ProxyURL(address), true
	client := &http.Client{Transport: transport}
	response, err := client.Get("https://example.com/")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if text, err := io.ReadAll(response.Body); err != nil || string(text) != "asked for example.com" {
		t.Errorf("answered %q: %v", text, err)
	}
	if _, err := client.Get("https://elsewhere.example/"); err == nil || !strings.Contains(err.Error(), "Forbidden") {
		t.Errorf("asking for another place: %v", err)
	}
	stop()
	if err := <-ran; err != nil {
		t.Errorf("run: %v", err)
	}
}
