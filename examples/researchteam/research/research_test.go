package research

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRulesSplitAQuestionIntoItsParts(t *testing.T) {
	t.Parallel()
	for question, want := range map[string][]string{
		"How do aspens spread, how old is Pando, and what threatens it?": {"How do aspens spread", "how old is Pando", "what threatens it"},
		"What is Pando?":           {"What is Pando"},
		"Where; when and why?":     {"Where", "when", "why"},
		"Is sand and gravel good?": {"Is sand", "gravel good"},
		"":                         nil,
	} {
		answer, err := Rules{}.Complete(t.Context(), prompt{task: taskPlan, question: question}.String())
		if got := answered(answer); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %q %v", question, got, err)
		}
	}
}

// liar is a model that makes things up.
type liar struct{ says string }

func (l liar) Complete(context.Context, string) (string, error) { return l.says, nil }

func TestSearcherClaimsOnlyWhatADocumentSays(t *testing.T) {
	t.Parallel()
	true1 := "Pando is a single aspen clone in Utah with about 47,000 stems."
	f, err := search(t.Context(), liar{"- " + true1 + "\n\nPando is made of cheese.\n"}, "What is Pando")
	if err != nil || len(f.Claims) != 1 || f.Claims[0] != (Claim{"What is Pando", true1, "pando"}) {
		t.Errorf("%+v %v", f, err)
	}
}

func TestCriticRejectsWhatIsNotSupported(t *testing.T) {
	t.Parallel()
	rumour := documents()[len(documents())-2]
	if rumour.name != "rumour" || rumour.source != "none" {
		t.Fatal(rumour)
	}
	good := Claim{"how old", "Estimates of the age of the roots differ by thousands of years.", "age"}
	v, err := review(t.Context(), liar{"Supported"}, []Claim{good})
	if err != nil || len(v.Rejected) != 1 {
		t.Errorf("the model's word counts: %+v %v", v, err)
	}
	v, err = review(t.Context(), liar{"supported"}, []Claim{
		good, {"how old", "It is old.", "age"}, {"how old", rumour.sentences[0], "rumour"}, {"how old", "x", "nowhere"},
	})
	if err != nil || len(v.Accepted) != 1 || len(v.Rejected) != 3 || v.Accepted[0] != good {
		t.Errorf("%+v %v", v, err)
	}
}

// api is an API that answers as it is told, one answer after the other.
func api(t *testing.T, answers ...func(w http.ResponseWriter, r *http.Request)) (*OpenAI, *[]time.Duration) {
	t.Helper()
	n := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || r.URL.Path != "/v1/chat/completions" || r.Header.Get("Authorization") != "Bearer secret" {
			t.Errorf("%s %s %s", r.Method, r.URL, r.Header)
		}
		n++
		answers[min(n, len(answers))-1](w, r)
	}))
	t.Cleanup(srv.Close)
	client := srv.Client()
	pauses := new([]time.Duration)
	return NewOpenAI(OpenAIOptions{
		URL: srv.URL + "/v1/", Model: "m-1", Key: "secret", HTTP: client,
		Pause: func(_ context.Context, d time.Duration) { *pauses = append(*pauses, d) },
	}), pauses
}

func says(text string) func(w http.ResponseWriter, r *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{"choices": []any{map[string]any{"message": map[string]any{"role": "assistant", "content": text}}}})
	}
}

func status(code int, after string) func(w http.ResponseWriter, r *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", after)
		w.WriteHeader(code)
		_, _ = io.WriteString(w, `{"error":{"message":"not now"}}`)
	}
}

func TestOpenAISendsThePromptAndReturnsTheText(t *testing.T) {
	t.Parallel()
	m, _ := api(t, func(w http.ResponseWriter, r *http.Request) {
		var body struct {
			Model    string
			Messages []struct{ Role, Content string }
		}
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil || body.Model != "m-1" || len(body.Messages) != 1 ||
			body.Messages[0].Role != "user" || body.Messages[0].Content != "the prompt" {
			t.Errorf("%+v %v", body, err)
		}
		says("the text")(w, r)
	})
	if text, err := m.Complete(t.Context(), "the prompt"); text != "the text" || err != nil {
		t.Errorf("%q %v", text, err)
	}
}

func TestOpenAIIsAskedAgainWhenItIsBusyOrBroken(t *testing.T) {
	t.Parallel()
	m, pauses := api(t, status(429, "2"), status(503, ""), status(500, ""), says("at last"))
	if text, err := m.Complete(t.Context(), "p"); text != "at last" || err != nil {
		t.Errorf("%q %v", text, err)
	}
	if want := []time.Duration{2 * time.Second, 500 * time.Millisecond, time.Second}; !reflect.DeepEqual(*pauses, want) {
		t.Errorf("pauses %v, wanted %v", *pauses, want)
	}
	m, pauses = api(t, status(502, ""))
	if _, err := m.Complete(t.Context(), "p"); err == nil || !strings.Contains(err.Error(), "502: not now") || len(*pauses) != attempts-1 {
		t.Errorf("%v after %d pauses", err, len(*pauses))
	}
}

func TestOpenAIIsNotAskedAgainForWhatItRefuses(t *testing.T) {
	t.Parallel()
	for what, answer := range map[string]func(http.ResponseWriter, *http.Request){
		"401": status(401, ""), "no choices": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{}`) },
		"no JSON": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `<html>`) },
	} {
		m, pauses := api(t, answer)
		if _, err := m.Complete(t.Context(), "p"); err == nil || len(*pauses) != 0 || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v after %d pauses", what, err, len(*pauses))
		}
	}
}

func TestOpenAIEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	m, pauses := api(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // only then the server sees that the client has gone
		cancel()
		<-r.Context().Done()
	})
	if _, err := m.Complete(ctx, "p"); !errors.Is(err, context.Canceled) || len(*pauses) != 0 {
		t.Errorf("%v after %d pauses", err, len(*pauses))
	}
}

func TestModelsAreConfiguredStrictly(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		config ModelConfig
		good   bool
	}{
		{ModelConfig{}, true},
		{ModelConfig{Kind: "rules"}, true},
		{ModelConfig{Kind: "openai", URL: "https://a.example/v1", Name: "m", KeyEnv: "K"}, true},
		{ModelConfig{Kind: "openai", URL: "http://127.0.0.1:1/v1", Name: "m", KeyEnv: "K"}, true},
		{ModelConfig{Kind: "openai", URL: "http://a.example/v1", Name: "m"}, true},
		{ModelConfig{Kind: "openai", URL: "http://a.example/v1", Name: "m", KeyEnv: "K"}, false},
		{ModelConfig{Kind: "openai", URL: "a.example", Name: "m"}, false},
		{ModelConfig{Kind: "openai", URL: "https://a.example"}, false},
		{ModelConfig{Name: "m"}, false},
		{ModelConfig{Kind: "magic"}, false},
	} {
		if err := c.config.Validate(); (err == nil) != c.good {
			t.Errorf("%+v: %v", c.config, err)
		}
	}
}
