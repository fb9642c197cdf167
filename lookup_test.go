package pando_test

import (
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/pando-agents/pando"
)

func TestChannelIsClosedByItsID(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.newNode("b", nil)
	a := w.friend(b, "a", nil)
	ch := a.open(t, b)
	ctx := within(t, patience)
	if err := a.CloseChannel(ctx, ch.ID(), "done"); err != nil {
		t.Fatal(err)
	}
	<-ch.Done()
	if err := ch.Err(); !errors.Is(err, pando.ErrClosed) {
		t.Errorf("the channel ended with %v", err)
	}
	if err := a.CloseChannel(ctx, ch.ID(), "again"); !errors.Is(err, pando.ErrNotFound) {
		t.Errorf("closing it again: %v", err)
	}
}

func TestHandshakesAreCountedByCode(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.newNode("b", nil, pando.WithAdmission(pando.Admission{PerPeer: 1}))
	a := w.friend(b, "a", nil)
	a.open(t, b)
	if _, err := a.Open(within(t, patience), b.ID(), b.at("?second").url); err == nil {
		t.Fatal("a second channel was opened")
	}
	r := httptest.NewRequest(http.MethodGet, "/ws", nil)
	r.Header.Set("Upgrade", "websocket")
	answer := httptest.NewRecorder()
	b.ServeHTTP(answer, r)
	if answer.Code != http.StatusUnauthorized {
		t.Errorf("without a token: %d", answer.Code)
	}
	want := map[string]uint64{"accepted": 2, "too_many_channels": 1, "missing_token": 1}
	if got := b.Handshakes(); !maps.Equal(got, want) {
		t.Errorf("handshakes: %v; want %v", got, want)
	}
}
