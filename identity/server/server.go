package server

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/pando-agents/pando/identity"
)

// Options configure a [Server]. The zero value is a registry in memory.
type Options struct {
	// Dir holds the database and the keys; it is made if need be, readable by its
	// owner only. Empty means that everything is kept in memory and lost on Close.
	// One process at a time may use a directory.
	Dir string

	// Issuer is the iss claim of tokens, default "pando". It must not be
	// "registry", which marks tokens of an original Python registry.
	Issuer string

	// TokenTTL is how long a token lives, default 30 minutes, 1 second to 24 hours.
	TokenTTL time.Duration

	// PublicURLs are the base URLs under which agents reach the registry. Proofs must be
	// made for one of them. Empty: for whatever host the request was sent to.
	PublicURLs []string

	// AdminKey is the operator's key, sent as x-api-key, at least 16 characters.
	// Empty: there is no operator.
	AdminKey string

	// SigningKey signs tokens: an RSA key. Nil: the one in Dir, made if there is none.
	SigningKey *identity.Key

	Limits Limits

	Logger *slog.Logger     // default slog.Default()
	Now    func() time.Time // default time.Now; safe for concurrent use
	Random io.Reader        // of ids and secrets, default crypto/rand; safe for concurrent use
}

func (o Options) withDefaults() (Options, error) {
	o.Limits = o.Limits.withDefaults()
	if o.Issuer == "" {
		o.Issuer = "pando"
	}
	if o.TokenTTL == 0 {
		o.TokenTTL = 30 * time.Minute
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Random == nil {
		o.Random = rand.Reader
	}
	return o, o.check()
}

func (o Options) check() error {
	switch {
	case o.Issuer == "registry":
		return errors.New("the issuer must not be \"registry\"")
	case o.TokenTTL < time.Second || o.TokenTTL > 24*time.Hour:
		return errors.New("the lifetime of tokens must be 1 second to 24 hours")
	case o.AdminKey != "" && len(o.AdminKey) < 16:
		return errors.New("the operator's key needs at least 16 characters")
	case o.SigningKey != nil && o.SigningKey.Public().Type() != identity.KeyRSA:
		return errors.New("the signing key must be an RSA key")
	}
	for _, text := range o.PublicURLs {
		u, err := url.Parse(text)
		if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
			return fmt.Errorf("public url %q is not an http or https url", text)
		}
	}
	return nil
}

// Server is an identity registry. All methods are safe for concurrent use.
type Server struct {
	opts    Options
	log     *slog.Logger
	store   *store
	secrets *secrets
	signer  *signer
	floor   time.Time // no proof may have been made before

	perAddress, perPrincipal, perRegister *limiter

	handler http.Handler
	close   func() error
}

// New opens the store in opts.Dir, or one in memory, brings its tables up to
// date and loads or makes the keys. It starts nothing. The error is an [*Error].
func New(ctx context.Context, opts Options) (*Server, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, failed(ErrOptions, "check the options", err)
	}
	if opts.Dir != "" {
		if err := os.MkdirAll(opts.Dir, 0o700); err != nil {
			return nil, failed(ErrStore, "make the directory", err)
		}
	}
	st, err := openStore(ctx, opts.Dir)
	if err != nil {
		return nil, err
	}
	s := &Server{opts: opts, log: opts.Logger, store: st,
		perAddress:   newLimiter(opts.Limits.Address, opts.Now),
		perPrincipal: newLimiter(opts.Limits.Principal, opts.Now),
		perRegister:  newLimiter(opts.Limits.Register, opts.Now),
	}
	if err := s.loadKeys(ctx); err != nil {
		return nil, errors.Join(failed(ErrKey, "load the keys", err), st.close())
	}
	if s.floor, err = st.crashFloor(ctx, opts.Now()); err != nil {
		return nil, errors.Join(failed(ErrStore, "mark the store as in use", err), st.close())
	}
	s.handler = s.guard(s.routes())
	s.close = sync.OnceValue(s.closeStore)
	return s, nil
}

func (s *Server) loadKeys(ctx context.Context) error {
	key, err := loadSecretsKey(s.opts.Dir)
	if err != nil {
		return err
	}
	if err := s.checkSecretsKey(ctx, key); err != nil {
		return err
	}
	s.secrets = &secrets{key: key, random: s.opts.Random}
	signing := s.opts.SigningKey
	if signing == nil {
		if signing, err = loadSigningKey(s.opts.Dir); err != nil {
			return err
		}
	}
	s.signer = newSigner(signing, s.opts)
	return nil
}

// checkSecretsKey refuses to run with another key than the one with which the
// secrets in the store were hashed: every agent would be locked out without a word.
func (s *Server) checkSecretsKey(ctx context.Context, key []byte) error {
	const name = "secrets key"
	sum := sha256.Sum256(append([]byte("pando secrets key\x00"), key...))
	known, err := s.store.fact(ctx, name)
	switch {
	case errors.Is(err, errNotFound):
		return s.store.setFact(ctx, name, sum[:])
	case err != nil:
		return err
	case !bytes.Equal(known, sum[:]):
		return fmt.Errorf("%s is not the key that belongs to this database: restore it from a backup", secretsKeyFile)
	}
	return nil
}

// Close closes the store. Requests that are running then fail; [Server.Serve]
// returns only after they have ended. Further calls return what the first did.
// The error is an [*Error].
func (s *Server) Close() error { return s.close() }

func (s *Server) closeStore() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := s.store.stoppedCleanly(ctx); err != nil {
		return errors.Join(failed(ErrStore, "mark the store as closed", err), s.store.close())
	}
	return s.store.close()
}

// Handler returns the API. It can be mounted at the root of any server.
func (s *Server) Handler() http.Handler { return s.handler }

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	for path, m := range map[string]methods{
		"/providers/register":      {"POST": s.registerProvider},
		"/providers/{id}":          {"PATCH": s.updateProvider},
		"/agents/register":         {"POST": s.registerAgent},
		"/agents/delete":           {"DELETE": s.deleteAgent},
		"/agents/{id}":             {"GET": s.agentInfo, "PATCH": s.updateAgent},
		"/agents/{id}/permissions": {"GET": s.permissions, "PUT": s.replacePermissions, "PATCH": s.changePermissions},
		"/directory":               {"GET": s.listPeers},
		"/directory/{id}":          {"GET": s.resolve, "PATCH": s.announce},
		"/tokens/create":           {"POST": s.createToken},
		"/tokens/verify":           {"POST": s.verifyToken},
		"/health":                  {"GET": s.health},
		"/health/live":             {"GET": s.live},
		"/.well-known/jwks.json":   {"GET": s.keySet},
	} {
		mux.Handle(path, s.respond(m))
	}
	mux.Handle("/providers/{first}/{second}", s.agentLists())
	mux.HandleFunc("/health/ready", s.ready)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.notFound(mux, w, r)
	})
	return mux
}

// agentLists is the two routes /providers/list-agents/{id} and /providers/{id}/agents,
// which a ServeMux would not take side by side.
func (s *Server) agentLists() http.Handler {
	page, all := s.respond(methods{"GET": s.listAgents}), s.respond(methods{"GET": s.providerAgents})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		first, second := r.PathValue("first"), r.PathValue("second")
		switch {
		case first == "list-agents":
			r.SetPathValue("id", second)
			page.ServeHTTP(w, r)
		case second == "agents":
			r.SetPathValue("id", first)
			all.ServeHTTP(w, r)
		default:
			s.fail(w, r, refuse(http.StatusNotFound, "Not Found"))
		}
	})
}

// notFound answers like FastAPI: a path with one slash too many is sent to the right one.
func (s *Server) notFound(mux *http.ServeMux, w http.ResponseWriter, r *http.Request) {
	if path, ok := strings.CutSuffix(r.URL.Path, "/"); ok && path != "" {
		short := r.Clone(r.Context())
		short.URL.Path, short.URL.RawPath = path, ""
		if _, pattern := mux.Handler(short); pattern != "" && pattern != "/" {
			target := url.URL{Path: path, RawQuery: r.URL.RawQuery}
			w.Header().Set("Location", target.String())
			w.WriteHeader(http.StatusTemporaryRedirect)
			return
		}
	}
	s.fail(w, r, refuse(http.StatusNotFound, "Not Found"))
}

func (s *Server) newID() (string, error) {
	id, err := uuid.NewRandomFromReader(s.opts.Random)
	if err != nil {
		return "", fmt.Errorf("make an id: %w", err)
	}
	return id.String(), nil
}
