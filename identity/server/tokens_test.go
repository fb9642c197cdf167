package server

import (
	"testing"
)

func TestTokenIsIssuedAndVerified(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a, b := r.pair()
	token := r.token(a, b)
	got := r.verify(token, "target-agent-id", b.id).want(200).object()
	exp := float64(r.clock.now().Unix() + 1800)
	if len(got) != 4 || got["valid"] != true || got["subject"] != a.id || got["target"] != b.id || got["expires_at"] != exp {
		t.Fatalf("answer %v", got)
	}
}
