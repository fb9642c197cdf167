package identity

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	testAgent    = "11111111-1111-4111-8111-111111111111"
	testProvider = "99999999-9999-4999-8999-999999999999"
)

func lookupIn(m map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) { v, ok := m[name]; return v, ok }
}

func fullCredentials() Credentials {
	return Credentials{
		RegistryURL: "https://registry.example/base", AgentID: testAgent, AgentSecret: "agent-secret_43", Key: rsaKey(),
		ProviderID: testProvider, ProviderSecret: "provider-secret_43", CAFile: "/etc/ca $dir/ca.pem",
	}
}

func same(a, b Credentials) bool {
	keys := (a.Key == nil) == (b.Key == nil) && (a.Key == nil || a.Key.Public().Equal(b.Key.Public()))
	a.Key, b.Key = nil, nil
	return keys && a == b
}

func writeEnv(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), ".env")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// pythonFile is what the Python command line writes.
func pythonFile(t testing.TB, c Credentials) string {
	return fmt.Sprintf(`# Authed Environment Variables

DATABASE=postgres://u:p@h/db

# Authed Configuration
AUTHED_REGISTRY_URL="%s"
AUTHED_PROVIDER_ID="%s"
AUTHED_PROVIDER_SECRET="%s"
AUTHED_AGENT_ID="%s"
AUTHED_AGENT_SECRET="%s"
AUTHED_PRIVATE_KEY="%s"
AUTHED_PUBLIC_KEY="%s"
AUTHED_CA_FILE='%s'
`, c.RegistryURL, c.ProviderID, c.ProviderSecret, c.AgentID, c.AgentSecret, mustPEM(t, c.Key), c.Key.Public().PEM(), c.CAFile)
}

func TestCredentialsAreReadFromEveryFormOfFile(t *testing.T) {
	t.Parallel()
	want := fullCredentials()
	python := pythonFile(t, want)
	escaped := strings.ReplaceAll(mustPEM(t, want.Key), "\n", `\n`)
	oneLine := func(quote string) string {
		return fmt.Sprintf("export AUTHED_REGISTRY_URL = https://registry.example/base # ours\nAUTHED_AGENT_ID=%s\n"+
			"AUTHED_AGENT_SECRET='%s'\nAUTHED_PRIVATE_KEY=%s%s%s\nAUTHED_PROVIDER_ID=%s\nAUTHED_PROVIDER_SECRET=%s\n"+
			"AUTHED_CA_FILE='%s'", want.AgentID, want.AgentSecret, quote, escaped, quote, want.ProviderID, want.ProviderSecret, want.CAFile)
	}
	for name, text := range map[string]string{
		"python":               python,
		"python, windows":      strings.ReplaceAll(python, "\n", "\r\n"),
		"byte order mark":      "\ufeff" + python,
		"escapes, double":      oneLine(`"`),
		"escapes, single":      oneLine(`'`),
		"escapes, bare":        oneLine(""),
		"odd lines around":     "source x\nlonely\n = 5\nP=\"$HOME\"/bin\nQ='open\n" + python + "\nA B=c\n",
		"later line wins":      "AUTHED_AGENT_SECRET=old\n" + python,
		"variable in a value":  strings.Replace("HOST=registry.example\n"+python, `"https://registry.example/base"`, `"https://${HOST}/${NONE:-base}"`, 1),
		"public key as base64": strings.Replace(python, want.Key.Public().PEM(), want.Key.Public().HeaderValue(), 1),
	} {
		got, err := FromFile(writeEnv(t, text))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if !same(got, want) {
			t.Errorf("%s: got %v", name, got)
		}
	}
}

func TestDotenvValues(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"K=v": "v", "K= v \t": "v", "  K  =v": "v", "export K=v": "v", "export\tK=v": "v", "K=": "", "K=   ": "",
		"K=v # c": "v", "K=v#c": "v#c", "K=#c": "#c", "K=a b": "a b", "K=a=b": "a=b", "K=\"a # b\" # c": "a # b",
		`K="a\"b"`: `a"b`, `K='a\'b'`: `a'b`, `K="a\\nb"`: `a\nb`, `K='a\nb'`: `a\nb`, `K="a\tb\rc\qd"`: "a\tb\rc\\qd",
		"K=\"a\nb\n\"": "a\nb\n", "K='a\nb'": "a\nb", "K=v\r\n": "v", "K=\"\"": "", "K=\"a\\\nb\"": "a\\\nb",
	} {
		got, err := parseDotenv(text)
		if err != nil || len(got) != 1 || got[0].name != "K" || got[0].value != want {
			t.Errorf("%q = %+v, %v, want %q", text, got, err, want)
		}
	}
	for _, text := range []string{"AUTHED_K=\"open", "AUTHED_K='open\n\n", "A=1\nAUTHED_K=\"a\" b"} {
		_, err := parseDotenv(text)
		if err == nil || strings.Contains(err.Error(), "open") {
			t.Errorf("%q: err = %v", text, err)
		}
	}
}

func TestEnvironmentWinsOverTheFile(t *testing.T) {
	t.Parallel()
	want := fullCredentials()
	path := writeEnv(t, pythonFile(t, want))
	want.RegistryURL = "https://other.example"
	got, err := Load(path, lookupIn(map[string]string{EnvRegistryURL: "https://other.example"}))
	if err != nil || !same(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
	got, err = Load(filepath.Join(t.TempDir(), "none"), lookupIn(map[string]string{EnvRegistryURL: "https://other.example"}))
	if err != nil || got.RegistryURL != "https://other.example" {
		t.Errorf("without a file: %v, %v", got, err)
	}
	if _, err := FromFile(filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) || !errors.Is(err, ErrInvalidCredentials) {
		t.Errorf("missing file: err = %v", err)
	}
}

func TestPartialAndMalformedCredentialsAreRefused(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*Credentials){
		"no registry":             func(c *Credentials) { c.RegistryURL = "" },
		"registry without scheme": func(c *Credentials) { c.RegistryURL = "registry.example" },
		"registry ftp":            func(c *Credentials) { c.RegistryURL = "ftp://registry.example" },
		"registry with user":      func(c *Credentials) { c.RegistryURL = "https://u:p@registry.example" },
		"registry with query":     func(c *Credentials) { c.RegistryURL = "https://registry.example?x=1" },
		"no agent id":             func(c *Credentials) { c.AgentID = "" },
		"no agent secret":         func(c *Credentials) { c.AgentSecret = "" },
		"no key":                  func(c *Credentials) { c.Key = nil },
		"no provider id":          func(c *Credentials) { c.ProviderID = "" },
		"no provider secret":      func(c *Credentials) { c.ProviderSecret = "" },
		"agent id of version 1":   func(c *Credentials) { c.AgentID = "11111111-1111-1111-8111-111111111111" },
		"agent id in capitals":    func(c *Credentials) { c.AgentID = "AAAAAAAA-1111-4111-8111-111111111111" },
		"agent id with braces":    func(c *Credentials) { c.AgentID = "{" + testAgent + "}" },
		"provider id no uuid":     func(c *Credentials) { c.ProviderID = "me" },
		"secret with line break":  func(c *Credentials) { c.AgentSecret = "a\r\nx: y" },
	} {
		c := fullCredentials()
		change(&c)
		if err := c.Validate(); !errors.Is(err, ErrInvalidCredentials) {
			t.Errorf("%s: err = %v", name, err)
		}
		if err := c.WriteFile(filepath.Join(t.TempDir(), ".env")); !errors.Is(err, ErrInvalidCredentials) {
			t.Errorf("%s: written, err = %v", name, err)
		}
	}
	if err := (Credentials{RegistryURL: "https://registry.example"}).Validate(); err != nil {
		t.Errorf("a registry alone: %v", err)
	}
}

func TestKeysThatDoNotBelongTogetherAreRefused(t *testing.T) {
	t.Parallel()
	env := map[string]string{
		EnvRegistryURL: "https://registry.example", EnvAgentID: testAgent, EnvAgentSecret: "s",
		EnvPrivateKey: mustPEM(t, rsaKey()), EnvPublicKey: ed25519Key().Public().PEM(),
	}
	if _, err := FromEnv(lookupIn(env)); !errors.Is(err, ErrInvalidCredentials) {
		t.Errorf("other public key: err = %v", err)
	}
	env[EnvPublicKey] = "garbage"
	if _, err := FromEnv(lookupIn(env)); !errors.Is(err, ErrInvalidKey) || !strings.Contains(err.Error(), EnvPublicKey) {
		t.Errorf("garbage public key: err = %v", err)
	}
	delete(env, EnvPrivateKey)
	if _, err := FromEnv(lookupIn(env)); !errors.Is(err, ErrInvalidCredentials) {
		t.Errorf("public key alone: err = %v", err)
	}
}

func TestWrittenFileIsPrivateAndComesBack(t *testing.T) {
	t.Parallel()
	for name, key := range allKeys() {
		want := fullCredentials()
		want.Key = key
		path := filepath.Join(t.TempDir(), ".env")
		if err := want.WriteFile(path); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil || info.Mode() != 0o600 {
			t.Errorf("%s: mode %v, %v", name, info.Mode(), err)
		}
		if got, err := FromFile(path); err != nil || !same(got, want) {
			t.Errorf("%s: got %v, %v", name, got, err)
		}
	}
}

func TestWritingKeepsWhatIsNotReplaced(t *testing.T) {
	t.Parallel()
	old := fullCredentials()
	foreign := "# mine\n\nDATABASE=\"a\nb\" # two lines\nexport X='1'\nAUTHED_TESTING=1\nlonely\n"
	path := writeEnv(t, foreign+pythonFile(t, old)+"LAST=1")
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	fresh := Credentials{RegistryURL: "https://new.example", AgentID: testTarget, AgentSecret: "new", Key: ed25519Key()}
	want := fresh
	want.ProviderID, want.ProviderSecret, want.CAFile = old.ProviderID, old.ProviderSecret, old.CAFile
	var texts []string
	for range 2 {
		if err := fresh.WriteFile(link); err != nil {
			t.Fatal(err)
		}
		if got, err := FromFile(path); err != nil || !same(got, want) {
			t.Fatalf("got %v, %v", got, err)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(text))
	}
	if !strings.HasPrefix(texts[0], foreign) || !strings.Contains(texts[0], "LAST=1\n\n"+envTitle) {
		t.Errorf("lost foreign lines:\n%s", texts[0])
	}
	if texts[1] != texts[0] {
		t.Errorf("writing again changes the file:\n%s", texts[1])
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&fs.ModeSymlink == 0 {
		t.Errorf("the link was replaced: %v, %v", info.Mode(), err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestFailedWriteLeavesTheOldFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, ".env")
	bad := "AUTHED_AGENT_ID=\"open\n"
	if err := os.WriteFile(path, []byte(bad), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := fullCredentials().WriteFile(path); !errors.Is(err, ErrInvalidCredentials) {
		t.Errorf("err = %v", err)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != bad {
		t.Errorf("file = %q, %v", text, err)
	}
	sub := filepath.Join(dir, "dir")
	if err := os.MkdirAll(filepath.Join(sub, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := replaceFile(sub, "text"); err == nil {
		t.Error("a directory was replaced by a file")
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*.tmp")); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestCredentialsPrintWithoutSecrets(t *testing.T) {
	t.Parallel()
	c := fullCredentials()
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "c", c, "nested", struct{ C Credentials }{c})
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		out := fmt.Sprintf(verb, c) + fmt.Sprintf(verb, &c) + fmt.Sprintf(verb, []Credentials{c}) + log.String()
		if strings.Contains(out, c.AgentSecret) || strings.Contains(out, c.ProviderSecret) {
			t.Errorf("%s shows a secret: %s", verb, out)
		}
		if !strings.Contains(out, c.AgentID) {
			t.Errorf("%s does not show the agent: %s", verb, out)
		}
	}
}

func FuzzDotenv(f *testing.F) {
	f.Add("# c\nexport A=\"x\\n\ny\" # c\r\nB='${A}'\nAUTHED_X=\"", "v\n$\"'\\")
	f.Fuzz(func(t *testing.T, text, value string) {
		statements, err := parseDotenv(text)
		if err != nil {
			return
		}
		raw := ""
		for _, s := range statements {
			raw += s.raw
			if len(expandValue(s.value, lookupIn(map[string]string{"A": "a"}))) > 2*len(text) {
				t.Fatal("a value grew")
			}
		}
		if raw != strings.TrimPrefix(text, "\ufeff") {
			t.Fatalf("%q is not the sum of its statements, %q", text, raw)
		}
		if strings.Contains(value, "\r") {
			return // line ends are normalised on purpose
		}
		back, err := parseDotenv(quoteDotenv("K", value))
		if err != nil || len(back) != 1 || back[0].value != value || back[0].expand && strings.Contains(value, "${") {
			t.Fatalf("%q came back as %+v, %v", value, back, err)
		}
	})
}
