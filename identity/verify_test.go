package identity

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestVerificationIsUsedAgainForAMinute(t *testing.T) {
	t.Parallel()
	for _, original := range []bool{false, true} {
		ck := newClock()
		g := newRegistry(ck.now)
		g.original = original
		c := g.client(t, testTarget, ed25519Key(), nil)
		token := g.sign(nil, g.claims(testAgent, testTarget))
		for i, step := range []time.Duration{0, 59 * time.Second, 2 * time.Second} {
			ck.add(step)
			v, err := c.Verify(t.Context(), token)
			if err != nil || v.Subject != testAgent || v.Target != testTarget || v.Expires.Unix() != testNow().Unix()+1800 {
				t.Fatalf("verified %+v, %v", v, err)
			}
			if want := 1 + i/2; g.count("/tokens/verify") != want {
				t.Errorf("after step %d: %d requests, want %d", i, g.count("/tokens/verify"), want)
			}
		}
	}
}

func TestVerificationIsNotUsedPastTheTokensEnd(t *testing.T) {
	t.Parallel()
	ck := newClock()
	g := newRegistry(ck.now)
	c := g.client(t, testTarget, ed25519Key(), nil)
	claims := g.claims(testAgent, testTarget)
	claims["exp"] = ck.now().Unix() + 10
	token := g.sign(nil, claims)
	if _, err := c.Verify(t.Context(), token); err != nil {
		t.Fatal(err)
	}
	ck.add(11 * time.Second)
	if _, err := c.Verify(t.Context(), token); !errors.Is(err, ErrRefused) {
		t.Errorf("err = %v", err)
	}
}

func TestVerifyTTLIsAtMostAMinuteAndMayBeNone(t *testing.T) {
	t.Parallel()
	for ttl, want := range map[time.Duration]int{0: 1, -1: 2, time.Hour: 2, 10 * time.Second: 2} {
		ck := newClock()
		g := newRegistry(ck.now)
		c := g.client(t, testTarget, ed25519Key(), func(o *ClientOptions) { o.VerifyTTL = ttl })
		token := g.sign(nil, g.claims(testAgent, testTarget))
		for range 2 {
			if _, err := c.Verify(t.Context(), token); err != nil {
				t.Fatal(err)
			}
			if ttl > 0 {
				ck.add(min(ttl, time.Minute))
			}
		}
		if g.count("/tokens/verify") != want {
			t.Errorf("ttl %v: %d requests, want %d", ttl, g.count("/tokens/verify"), want)
		}
	}
}

func TestRefusalIsToldFromNoAnswerAndNeitherIsKept(t *testing.T) {
	t.Parallel()
	g := newRegistry(newClock().now)
	c := g.client(t, testTarget, ed25519Key(), nil)
	token := g.sign(nil, g.claims(testAgent, testTarget))
	for _, test := range []struct {
		before func(http.ResponseWriter, *http.Request) bool
		denied bool
		want   *Error
	}{
		{denied: true, want: ErrRefused},
		{before: answer(403, ""), want: ErrRefused},
		{before: answer(500, ""), want: ErrUnavailable},
		{before: answer(503, ""), want: ErrUnavailable},
		{before: answer(404, ""), want: ErrNotFound},
		{before: answer(200, `{"valid":true}`), want: ErrBadResponse},
		{before: answer(200, `{"valid":true,"subject":"x","target":"`+testTarget+`","expires_at":1900000000}`), want: ErrBadResponse},
		{before: answer(200, `{"valid":true,"subject":"`+testAgent+`","target":"`+testAgent+`","expires_at":1900000000}`), want: ErrRefused},
		{before: answer(200, `{"valid":false,"subject":"`+testAgent+`","target":"`+testTarget+`","expires_at":1900000000}`), want: ErrRefused},
	} {
		g.set(func() { g.before, g.denied = test.before, test.denied })
		if _, err := c.Verify(t.Context(), token); !errors.Is(err, test.want) {
			t.Errorf("want %v, err = %v", test.want, err)
		}
	}
	g.set(func() { g.before, g.denied = nil, false })
	if _, err := c.Verify(t.Context(), token); err != nil {
		t.Errorf("after all that: %v", err)
	}
	asked := g.count("/tokens/verify")
	for _, bad := range []string{"", "x", "a.b", "a.b.c\r\nx: y", strings.Repeat("a", 8192) + ".b.c"} {
		if _, err := c.Verify(t.Context(), bad); !errors.Is(err, ErrRefused) {
			t.Errorf("%.20q: err = %v", bad, err)
		}
	}
	if g.count("/tokens/verify") != asked {
		t.Error("garbage was sent to the registry")
	}
}

func TestConcurrentVerificationsOfOneTokenAreOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newRegistry(time.Now)
		release := make(chan struct{})
		g.before = func(http.ResponseWriter, *http.Request) bool { <-release; return false }
		c := g.client(t, testTarget, ed25519Key(), func(o *ClientOptions) { o.AfterFunc = nil })
		token := g.sign(nil, g.claims(testAgent, testTarget))
		var wg sync.WaitGroup
		for i := range 5 {
			ctx, cancel := context.WithCancel(t.Context())
			if i == 0 {
				cancel()
			}
			wg.Go(func() {
				defer cancel()
				if _, err := c.Verify(ctx, token); (err != nil) != (i == 0) {
					t.Errorf("caller %d: %v", i, err)
				}
			})
		}
		synctest.Wait()
		close(release)
		wg.Wait()
		if g.count("/tokens/verify") != 1 {
			t.Errorf("%d requests", g.count("/tokens/verify"))
		}
	})
}

func TestCacheKeepsWhatWasUsedLast(t *testing.T) {
	t.Parallel()
	c := newCache[int](2)
	c.put("a", 1)
	c.put("b", 2)
	c.get("a")
	c.put("c", 3)
	_, b := c.get("b")
	a, okA := c.get("a")
	if b || !okA || a != 1 || len(c.entries) != 2 || c.order.Len() != 2 {
		t.Errorf("b kept: %v, a = %d, %v, %d entries", b, a, okA, len(c.entries))
	}
	c.put("a", 4)
	if a, _ := c.get("a"); a != 4 {
		t.Errorf("a = %d", a)
	}
	c.drop("a", func(v int) bool { return v == 1 })
	c.drop("a", func(v int) bool { return v == 4 })
	if _, ok := c.get("a"); ok {
		t.Error("a was not dropped")
	}
}

func TestUnknownKeyIDAsksOnceInTenSeconds(t *testing.T) {
	t.Parallel()
	ck := newClock()
	g := newRegistry(ck.now)
	c := g.client(t, testTarget, ed25519Key(), nil)
	known := "k-" + g.key.Thumbprint()[:6]
	ask := func(kid string, want *Error, requests int) {
		t.Helper()
		key, err := c.SigningKey(t.Context(), kid)
		if (want == nil) != (err == nil) || want != nil && !errors.Is(err, want) || err == nil && !key.Equal(g.key.Public()) {
			t.Errorf("%s: %v, %v", kid, key, err)
		}
		if g.count("/.well-known/jwks.json") != requests {
			t.Errorf("%s: %d requests, want %d", kid, g.count("/.well-known/jwks.json"), requests)
		}
	}
	ask(known, nil, 1)
	ask(known, nil, 1)
	ask("other", ErrInvalidToken, 1) // in the set, but of a kind that is no public key
	for i := range 100 {
		ask(fmt.Sprint("unknown-", i), ErrInvalidToken, 1)
	}
	ck.add(10 * time.Second)
	ask("unknown", ErrInvalidToken, 2)
	ask("unknown", ErrInvalidToken, 2)
	ask(known, nil, 2)
}

func TestKeySetFollowsARotation(t *testing.T) {
	t.Parallel()
	ck := newClock()
	g := newRegistry(ck.now)
	c := g.client(t, testTarget, ed25519Key(), nil)
	kid := func() string { return "k-" + g.key.Thumbprint()[:6] }
	old := kid()
	if _, err := c.SigningKey(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	g.key = p256Key()
	ck.add(11 * time.Second)
	if _, err := c.SigningKey(t.Context(), old); err != nil {
		t.Errorf("the old key, nobody asked yet: %v", err)
	}
	if key, err := c.SigningKey(t.Context(), kid()); err != nil || !key.Equal(g.key.Public()) {
		t.Errorf("the new key: %v, %v", key, err)
	}
	if _, err := c.SigningKey(t.Context(), old); !errors.Is(err, ErrInvalidToken) {
		t.Errorf("the old key after the new set came: %v", err)
	}
	last := kid()
	g.key = ed25519Key()
	ck.add(10*time.Minute + time.Second)
	if _, err := c.SigningKey(t.Context(), last); !errors.Is(err, ErrInvalidToken) {
		t.Errorf("a key that went ten minutes ago: %v", err)
	}
}

func TestKeySetSurvivesARegistryThatIsDown(t *testing.T) {
	t.Parallel()
	ck := newClock()
	g := newRegistry(ck.now)
	c := g.client(t, testTarget, ed25519Key(), nil)
	known := "k-" + g.key.Thumbprint()[:6]
	g.before = answer(500, "")
	for range 2 {
		if _, err := c.SigningKey(t.Context(), known); !errors.Is(err, ErrUnavailable) {
			t.Errorf("no set yet: err = %v", err)
		}
	}
	if n := g.count("/.well-known/jwks.json"); n != 1 {
		t.Errorf("%d requests within a second after a failure", n)
	}
	g.set(func() { g.before = nil })
	ck.add(time.Second)
	if _, err := c.SigningKey(t.Context(), known); err != nil {
		t.Fatal(err)
	}
	g.set(func() { g.before = answer(500, "") })
	ck.add(time.Hour)
	for range 3 {
		if _, err := c.SigningKey(t.Context(), known); err != nil {
			t.Errorf("an old set: %v", err)
		}
		if _, err := c.SigningKey(t.Context(), "unknown"); !errors.Is(err, ErrUnavailable) {
			t.Errorf("unknown in an old set: %v", err)
		}
	}
}

func TestOriginalRegistryHasNoKeySet(t *testing.T) {
	t.Parallel()
	g := newRegistry(newClock().now)
	g.original = true
	c := g.client(t, testTarget, ed25519Key(), nil)
	for range 2 {
		if _, err := c.SigningKey(t.Context(), "any"); !errors.Is(err, ErrInvalidToken) {
			t.Errorf("err = %v", err)
		}
	}
	if n := g.count("/.well-known/jwks.json"); n != 1 {
		t.Errorf("%d requests", n)
	}
}
