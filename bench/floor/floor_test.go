package floor

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestEachMessageIsAnsweredByItsKind(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 9, 30, 0, 123456000, time.UTC)
	for kind, want := range map[string]string{
		`"channel.open","data":{"protocol_version":"1.0","capabilities":["json"]}`: `{"type":"channel.accept","data":{"protocol_version":"1.0","capabilities":["json"]}}`,
		`"channel.heartbeat","data":{}`:                                            `{"type":"channel.heartbeat","data":{}}`,
		`"channel.close","data":{"reason":"bye"}`:                                  `{"type":"channel.close","data":{"acknowledged":true,"reason":"bye"}}`,
		`"request","data":{"text":"grüße \"du\""}`:                                 `{"type":"response","data":{"text":"grüße \"du\""}}`,
		`"task","data":{}`: `{"type":"error","data":{"message":"unsupported message type: task"}}`,
	} {
		out, err := answer([]byte(`{"meta":{"message_id":"m1","channel_id":"c1","sequence":7,"sender":"A","reply_to":null},"content":{"type":`+kind+`}}`), now)
		if err != nil {
			t.Errorf("%s: %v", kind, err)
			continue
		}
		var got struct {
			Meta    map[string]any
			Content json.RawMessage
		}
		if err := json.Unmarshal(out, &got); err != nil {
			t.Fatal(err)
		}
		if string(got.Content) != want {
			t.Errorf("%s: answered %s, want %s", kind, got.Content, want)
		}
		for key, want := range map[string]string{
			"channel_id": "c1", "reply_to": "m1", "recipient": "A", "sender": ID, "timestamp": "2026-03-01T09:30:00.123456+00:00",
		} {
			if got.Meta[key] != want {
				t.Errorf("%s: %s is %v, want %s", kind, key, got.Meta[key], want)
			}
		}
	}
}

func TestAnswersAreNotAnswered(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"response", "error"} {
		out, err := answer([]byte(`{"meta":{"message_id":"m","channel_id":"c"},"content":{"type":"`+kind+`"}}`), time.Now())
		if out != nil || err != nil {
			t.Errorf("%s: %s, %v", kind, out, err)
		}
	}
}

func TestIncompleteMessagesAreRefused(t *testing.T) {
	t.Parallel()
	for _, in := range []string{`x`, `{}`, `{"meta":{"message_id":"m","channel_id":"c"},"content":{}}`, `{"meta":{"message_id":"m"},"content":{"type":"request"}}`} {
		if out, err := answer([]byte(in), time.Now()); err == nil {
			t.Errorf("%s was answered with %s", in, out)
		}
	}
}

func TestIdsAreUUIDsOfVersion4AndDiffer(t *testing.T) {
	t.Parallel()
	a, b := newID(), newID()
	if len(a) != 36 || strings.Count(a, "-") != 4 || a[14] != '4' || !strings.ContainsRune("89ab", rune(a[19])) || a == b {
		t.Errorf("ids %s and %s", a, b)
	}
}

func TestUpgradeWithoutTokenIsRefused(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, ln) }()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + ln.Addr().String() + "/ws")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("status %s, want 401", resp.Status)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Serve returned %v after its end was asked for", err)
	}
}
