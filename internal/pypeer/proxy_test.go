package pypeer_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/pando-agents/pando/internal/pypeer"
)

func TestProxyTunnelsItsRoutesAndRefusesTheRest(t *testing.T) {
	t.Parallel()
	authority := pypeer.NewAuthority(t)
	target := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "host "+r.Host)
	}))
	target.TLS = authority.ServerConfig()
	target.StartTLS()
	t.Cleanup(target.Close)
	proxy, err := url.Parse(pypeer.NewProxy(t, map[string]string{"localhost:443": target.Listener.Addr().String()}))
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{
		Proxy:             func(*http.Request) (*url.URL, error) { return proxy, nil },
		TLSClientConfig:   authority.ClientConfig(),
		DisableKeepAlives: true,
	}}

	response, err := client.Get("https://localhost/")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if body, err := io.ReadAll(response.Body); err != nil || string(body) != "host localhost" {
		t.Errorf("by a route: %q, %v", body, err)
	}
	if response, err := client.Get("https://pando.invalid/"); err == nil || !strings.Contains(err.Error(), "Forbidden") {
		if err == nil {
			response.Body.Close()
		}
		t.Errorf("without a route: %v", err)
	}
}
