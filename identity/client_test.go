package identity

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// answer makes the registry give one fixed answer to everything.
func answer(status int, body string, header ...string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, _ *http.Request) bool {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
		return true
	}
}

func TestTokenIsAskedForInTheFormOfEveryKey(t *testing.T) {
	t.Parallel()
	for alg, key := range allKeys() {
		g := newRegistry(newClock().now)
		target := ed25519Key()
		g.agents[testTarget] = target.Public()
		token, err := g.client(t, testAgent, key, nil).Token(t.Context(), testTarget)
		if err != nil {
			t.Fatalf("%s: %v", alg, err)
		}
		if token.Type != "DPoP" || token.PeerJKT != target.Thumbprint() || !token.Expires.Equal(testNow().Add(30*time.Minute)) {
			t.Errorf("%s: token = %+v, jkt %s, until %v", alg, token, token.PeerJKT, token.Expires)
		}
		if out := fmt.Sprintf("%v %+v %#v %s", token, token, token, []Token{token}); strings.Contains(out, token.Value) {
			t.Errorf("the token prints its value: %s", out)
		}
	}
	g := newRegistry(newClock().now)
	g.original = true
	token, err := g.client(t, testAgent, rsaKey(), nil).Token(t.Context(), testTarget)
	if err != nil || token.Type != "Bearer" || token.PeerJKT != "" {
		t.Errorf("original registry: %+v, %v", token, err)
	}
}

func TestTokenIsUsedAgainUntilShortlyBeforeItExpires(t *testing.T) {
	t.Parallel()
	ck := newClock()
	g := newRegistry(ck.now)
	c := g.client(t, testAgent, ed25519Key(), nil)
	get := func() string {
		t.Helper()
		token, err := c.Token(t.Context(), testTarget)
		if err != nil {
			t.Fatal(err)
		}
		return token.Value
	}
	first := get()
	ck.add(29*time.Minute - time.Millisecond)
	if get() != first {
		t.Error("another token 60 s before the first expires")
	}
	ck.add(2 * time.Millisecond)
	second := get()
	if second == first {
		t.Error("the same token within the last 60 s")
	}
	if _, err := c.Token(t.Context(), testAgent); err != nil {
		t.Fatal(err)
	}
	if get() != second || g.count("/tokens/create") != 3 {
		t.Errorf("targets share tokens, %d requests", g.count("/tokens/create"))
	}
}

func TestShortTokenIsRenewedInItsLastTenth(t *testing.T) {
	t.Parallel()
	ck := newClock()
	g := newRegistry(ck.now)
	g.before = func(w http.ResponseWriter, r *http.Request) bool {
		return answer(200, fmt.Sprintf(`{"token":"a.b.c","target_agent_id":%q,"expires_at":%q}`,
			testTarget, ck.now().Add(100*time.Second).Format(time.RFC3339Nano)))(w, r)
	}
	c := g.client(t, testAgent, ed25519Key(), nil)
	for i, step := range []time.Duration{0, 89 * time.Second, 2 * time.Second} {
		ck.add(step)
		if _, err := c.Token(t.Context(), testTarget); err != nil {
			t.Fatal(err)
		}
		if want := 1 + i/2; g.count("/tokens/create") != want {
			t.Errorf("after step %d: %d requests, want %d", i, g.count("/tokens/create"), want)
		}
	}
}

func TestDroppedTokenIsAskedForAgain(t *testing.T) {
	t.Parallel()
	g := newRegistry(newClock().now)
	c := g.client(t, testAgent, ed25519Key(), nil)
	first, err := c.Token(t.Context(), testTarget)
	if err != nil {
		t.Fatal(err)
	}
	c.Drop(testTarget, "another value")
	if again, err := c.Token(t.Context(), testTarget); err != nil || again.Value != first.Value {
		t.Errorf("dropping another value dropped this one: %v", err)
	}
	c.Drop(testTarget, first.Value)
	if again, err := c.Token(t.Context(), testTarget); err != nil || again.Value == first.Value {
		t.Errorf("still the dropped token: %v", err)
	}
}

func TestTokenIsUsedUntilItExpiresWhileTheRegistryIsDown(t *testing.T) {
	t.Parallel()
	ck := newClock()
	g := newRegistry(ck.now)
	c := g.client(t, testAgent, ed25519Key(), nil)
	first, err := c.Token(t.Context(), testTarget)
	if err != nil {
		t.Fatal(err)
	}
	g.set(func() { g.before = answer(503, "") })
	ck.add(29*time.Minute + 30*time.Second)
	if again, err := c.Token(t.Context(), testTarget); err != nil || again.Value != first.Value {
		t.Errorf("token = %v, %v", again, err)
	}
	ck.add(31 * time.Second)
	if _, err := c.Token(t.Context(), testTarget); !errors.Is(err, ErrUnavailable) {
		t.Errorf("after it expired: err = %v", err)
	}
	g.set(func() { g.before = answer(401, `{"detail":"no"}`) })
	if _, err := c.Token(t.Context(), testTarget); !errors.Is(err, ErrRefused) {
		t.Errorf("refused: err = %v", err)
	}
}

func TestRefusedRenewalIsNotPaperedOver(t *testing.T) {
	t.Parallel()
	ck := newClock()
	g := newRegistry(ck.now)
	c := g.client(t, testAgent, ed25519Key(), nil)
	if _, err := c.Token(t.Context(), testTarget); err != nil {
		t.Fatal(err)
	}
	g.set(func() { g.denied = true })
	ck.add(29*time.Minute + 30*time.Second)
	if _, err := c.Token(t.Context(), testTarget); !errors.Is(err, ErrRefused) {
		t.Errorf("err = %v", err)
	}
}

func TestCallersShareOneRequestAndOneMayLeave(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newRegistry(time.Now)
		release := make(chan struct{})
		g.before = func(http.ResponseWriter, *http.Request) bool { <-release; return false }
		c := g.client(t, testAgent, ed25519Key(), func(o *ClientOptions) { o.AfterFunc = nil })
		leaving, leave := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		var mu sync.Mutex
		values := map[string]int{}
		for i := range 10 {
			ctx := t.Context()
			if i == 0 {
				ctx = leaving
			}
			wg.Go(func() {
				token, err := c.Token(ctx, testTarget)
				mu.Lock()
				defer mu.Unlock()
				if i == 0 && !errors.Is(err, context.Canceled) {
					t.Errorf("who left got %v", err)
				} else if i != 0 && err != nil {
					t.Error(err)
				}
				values[token.Value]++
			})
		}
		synctest.Wait()
		leave()
		synctest.Wait()
		close(release)
		wg.Wait()
		if len(values) != 2 || values[""] != 1 || g.count("/tokens/create") != 1 {
			t.Errorf("%d values, %d requests", len(values), g.count("/tokens/create"))
		}
	})
}

func TestHangingRegistryIsGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newRegistry(time.Now)
		g.before = func(_ http.ResponseWriter, r *http.Request) bool { <-r.Context().Done(); return true }
		c := g.client(t, testAgent, ed25519Key(), func(o *ClientOptions) { o.AfterFunc = nil })
		start := time.Now()
		_, err := c.Token(t.Context(), testTarget)
		if !errors.Is(err, ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 8*time.Second {
			t.Errorf("err = %v after %v", err, time.Since(start))
		}
		if g.count("/tokens/create") != 2 {
			t.Errorf("%d attempts, want a second one within the time", g.count("/tokens/create"))
		}
	})
}

func TestCloseEndsWhatIsUnderWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newRegistry(time.Now)
		g.before = func(_ http.ResponseWriter, r *http.Request) bool { <-r.Context().Done(); return true }
		c := g.client(t, testAgent, ed25519Key(), func(o *ClientOptions) { o.AfterFunc = nil })
		done := make(chan error)
		go func() { _, err := c.Token(t.Context(), testTarget); done <- err }()
		synctest.Wait()
		start := time.Now()
		c.Close()
		if err := <-done; !errors.Is(err, ErrUnavailable) || time.Since(start) != 0 {
			t.Errorf("err = %v after %v", err, time.Since(start))
		}
	})
}

func TestOnlySafeFailuresAreRepeated(t *testing.T) {
	t.Parallel()
	dialError := &net.OpError{Op: "dial", Err: errors.New("refused")}
	readError := &net.OpError{Op: "read", Err: errors.New("reset")}
	for name, test := range map[string]struct {
		status           int
		err              error
		header           []string
		safe, unsafe     int // attempts of a repeatable and of another request
		code             *Error
		retryAfterAtLeat time.Duration
	}{
		"500":                  {status: 500, safe: 1, unsafe: 1, code: ErrUnavailable},
		"502":                  {status: 502, safe: 3, unsafe: 1, code: ErrUnavailable},
		"503":                  {status: 503, safe: 3, unsafe: 1, code: ErrUnavailable},
		"504":                  {status: 504, safe: 3, unsafe: 1, code: ErrUnavailable},
		"429":                  {status: 429, safe: 3, unsafe: 3, code: ErrRateLimited},
		"429, later":           {status: 429, header: []string{"Retry-After", "1"}, safe: 3, unsafe: 3, code: ErrRateLimited},
		"429, much later":      {status: 429, header: []string{"Retry-After", "60"}, safe: 1, unsafe: 1, code: ErrRateLimited, retryAfterAtLeat: time.Minute},
		"503, much later":      {status: 503, header: []string{"Retry-After", testNow().Add(time.Hour).Format(http.TimeFormat)}, safe: 1, unsafe: 1, code: ErrUnavailable, retryAfterAtLeat: 59 * time.Minute},
		"400":                  {status: 400, safe: 1, unsafe: 1, code: ErrRefused},
		"401":                  {status: 401, safe: 1, unsafe: 1, code: ErrRefused},
		"403":                  {status: 403, safe: 1, unsafe: 1, code: ErrRefused},
		"404":                  {status: 404, safe: 1, unsafe: 1, code: ErrNotFound},
		"422":                  {status: 422, safe: 1, unsafe: 1, code: ErrInvalidRequest},
		"redirect":             {status: 307, header: []string{"Location", "https://evil.example/"}, safe: 1, unsafe: 1, code: ErrBadResponse},
		"created":              {status: 201, safe: 1, unsafe: 1, code: ErrBadResponse},
		"no connection":        {err: dialError, safe: 3, unsafe: 3, code: ErrUnavailable},
		"connection broken":    {err: readError, safe: 3, unsafe: 1, code: ErrUnavailable},
		"not JSON":             {status: 200, safe: 1, unsafe: 1, code: ErrBadResponse},
		"an hour in the past?": {status: 503, header: []string{"Retry-After", testNow().Add(-time.Hour).Format(http.TimeFormat)}, safe: 3, unsafe: 1, code: ErrUnavailable},
	} {
		attempts := 0
		transport := roundTripper(func(r *http.Request) (*http.Response, error) {
			attempts++
			if r.URL.Host != "registry.example" {
				t.Errorf("%s: asked %s", name, r.URL)
			}
			w := httptest.NewRecorder()
			answer(test.status, "not JSON", test.header...)(w, r)
			return w.Result(), test.err
		})
		g := newRegistry(testNow)
		c := g.client(t, testAgent, ed25519Key(), func(o *ClientOptions) {
			o.HTTP = &http.Client{Transport: transport}
			o.AfterFunc = func(d time.Duration, f func()) func() bool {
				if d >= defaultTimeout*5/8 {
					return func() bool { return true }
				}
				return time.AfterFunc(0, f).Stop
			}
		})
		if test.status == 0 {
			test.status = 200 // the recorder needs one
		}
		_, err := c.Token(t.Context(), testTarget)
		var e *Error
		if !errors.Is(err, test.code) || !errors.As(err, &e) || e.RetryAfter < test.retryAfterAtLeat || attempts != test.safe {
			t.Errorf("%s: %d attempts, want %d, err = %v", name, attempts, test.safe, err)
		}
		attempts = 0
		_, err = c.RegisterProvider(t.Context(), "", "")
		if !errors.Is(err, test.code) || attempts != test.unsafe {
			t.Errorf("%s: %d attempts of an unsafe request, want %d, err = %v", name, attempts, test.unsafe, err)
		}
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestRepeatedTokenRequestHasAnotherProof(t *testing.T) {
	t.Parallel()
	g := newRegistry(newClock().now)
	fails := 2
	g.before = func(w http.ResponseWriter, r *http.Request) bool {
		if fails == 0 {
			return false
		}
		// The answer gets lost after the request was carried out.
		fails--
		g.create(r)
		return answer(502, "")(w, r)
	}
	if _, err := g.client(t, testAgent, ed25519Key(), nil).Token(t.Context(), testTarget); err != nil {
		t.Error(err)
	}
}

func TestBackoffGrowsWithJitterUpToItsCap(t *testing.T) {
	t.Parallel()
	c := &Client{o: ClientOptions{Rand: func() float64 { return 0.5 }}}
	for attempt, want := range map[int]time.Duration{1: 50 * time.Millisecond, 2: 100 * time.Millisecond, 3: 200 * time.Millisecond, 9: time.Second} {
		if got := c.backoff(attempt); got != want {
			t.Errorf("attempt %d: %v, want %v", attempt, got, want)
		}
	}
}

func TestBadAnswersAreRefused(t *testing.T) {
	t.Parallel()
	good := `{"token":"a.b.c","target_agent_id":"` + testTarget + `","expires_at":"2026-03-01T10:00:00Z"}`
	for name, body := range map[string]string{
		"empty":         "",
		"other target":  strings.Replace(good, testTarget, testAgent, 1),
		"no token":      strings.Replace(good, "a.b.c", "", 1),
		"token no jws":  strings.Replace(good, "a.b.c", "a.b", 1),
		"header inside": strings.Replace(good, "a.b.c", `a.b.c\r\nx: y`, 1),
		"no expiry":     strings.Replace(good, "expires_at", "expires", 1),
		"no zone":       strings.Replace(good, "00Z", "00", 1),
		"too long":      strings.Repeat(" ", 1<<20) + good,
	} {
		g := newRegistry(newClock().now)
		g.before = answer(200, body)
		if _, err := g.client(t, testAgent, ed25519Key(), nil).Token(t.Context(), testTarget); !errors.Is(err, ErrBadResponse) {
			t.Errorf("%s: err = %v", name, err)
		}
	}
	g := newRegistry(newClock().now)
	g.before = answer(200, good)
	if _, err := g.client(t, testAgent, ed25519Key(), nil).Token(t.Context(), testTarget); err != nil {
		t.Errorf("the good one: %v", err)
	}
}

func TestErrorsTellTheDetailButNoSecret(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{"detail":"not\nallowed"}`: `"not\nallowed"`,
		`{"detail":[{"msg":"bad","input":"` + testSecret + `"},{"msg":"worse"}]}`: `"bad; worse"`,
		`<html>`: "no detail given",
		`{"detail":"` + strings.Repeat("x", 300) + `"}`: strings.Repeat("x", 200) + `"`,
	} {
		g := newRegistry(newClock().now)
		g.before = answer(422, body)
		_, err := g.client(t, testAgent, ed25519Key(), nil).Token(t.Context(), testTarget)
		if err == nil || !strings.HasSuffix(err.Error(), want) || strings.Contains(err.Error(), testSecret) {
			t.Errorf("%.40s: err = %v", body, err)
		}
	}
}

func TestPanicInATransportIsAnError(t *testing.T) {
	t.Parallel()
	g := newRegistry(newClock().now)
	c := g.client(t, testAgent, ed25519Key(), func(o *ClientOptions) {
		o.HTTP = &http.Client{Transport: roundTripper(func(*http.Request) (*http.Response, error) { panic("bug") })}
	})
	if _, err := c.Token(t.Context(), testTarget); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "bug") {
		t.Errorf("err = %v", err)
	}
}

func TestRegistryURLIsForcedToHTTPSAndKeepsItsPath(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		in       string
		insecure bool
		want     string
	}{
		{"https://r.example", false, "https://r.example/tokens/create"},
		{"https://r.example/base/", false, "https://r.example/base/tokens/create"},
		{"http://r.example:8443/base", false, "https://r.example:8443/base/tokens/create"},
		{"http://r.example", true, "http://r.example/tokens/create"},
		{"http://localhost:9000", false, "http://localhost:9000/tokens/create"},
		{"http://127.0.0.2:9000", false, "http://127.0.0.2:9000/tokens/create"},
		{"http://[::1]:9000", false, "http://[::1]:9000/tokens/create"},
		{"http://localhost.evil.example", false, "https://localhost.evil.example/tokens/create"},
	} {
		c, err := NewClient(ClientOptions{Credentials: Credentials{RegistryURL: test.in}, AllowInsecure: test.insecure})
		if err != nil {
			t.Fatal(err)
		}
		if got := c.url("/tokens/create"); got != test.want {
			t.Errorf("%s: %s, want %s", test.in, got, test.want)
		}
		c.Close()
	}
}

func TestRegistryIsTrustedByItsAuthorityOnly(t *testing.T) {
	t.Parallel()
	g := newRegistry(time.Now)
	server := httptest.NewTLSServer(g)
	t.Cleanup(server.Close)
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(ca, text, 0o600); err != nil {
		t.Fatal(err)
	}
	client := func(file string) *Client {
		return g.client(t, testAgent, rsaKey(), func(o *ClientOptions) {
			// Written as http: it has to become https all the same where it is not loopback, and here it is not changed.
			o.HTTP, o.Credentials.RegistryURL, o.Credentials.CAFile = nil, server.URL, file
		})
	}
	for range 2 {
		if _, err := client(ca).Token(t.Context(), testTarget); err != nil {
			t.Error(err)
		}
	}
	asked := g.count("/tokens/create")
	if _, err := client("").Token(t.Context(), testTarget); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("unknown authority: err = %v", err)
	}
	if g.count("/tokens/create") != asked {
		t.Error("an unknown authority got to see a request")
	}
	for name, file := range map[string]string{"missing": ca + ".none", "no certificate": writeEnv(t, "x")} {
		o := ClientOptions{Credentials: Credentials{RegistryURL: server.URL, CAFile: file}}
		if _, err := NewClient(o); !errors.Is(err, ErrInvalidCredentials) {
			t.Errorf("%s: err = %v", name, err)
		}
	}
}

func TestClientNeedsTheCredentialsOfWhatItDoes(t *testing.T) {
	t.Parallel()
	if _, err := NewClient(ClientOptions{}); !errors.Is(err, ErrInvalidCredentials) {
		t.Errorf("none at all: err = %v", err)
	}
	c, err := NewClient(ClientOptions{Credentials: Credentials{RegistryURL: "https://127.0.0.1:1"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	_, tokenErr := c.Token(t.Context(), testTarget)
	_, verifyErr := c.Verify(t.Context(), "a.b.c")
	_, _, registerErr := c.RegisterAgent(t.Context(), "", ed25519Key().Public(), false, Announcement{})
	for i, err := range []error{tokenErr, verifyErr, registerErr} {
		if !errors.Is(err, ErrInvalidCredentials) {
			t.Errorf("%d: err = %v", i, err)
		}
	}
	g := newRegistry(newClock().now)
	if _, err := g.client(t, testAgent, ed25519Key(), nil).Token(t.Context(), "not an id"); !errors.Is(err, ErrInvalidRequest) {
		t.Errorf("target: err = %v", err)
	}
}
