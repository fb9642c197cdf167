package identity

import (
	"container/list"
	"sync"
)

// cache keeps the values that were used last, up to a number of them. Whether
// one may still be used is for the caller to say. It is safe for concurrent use.
type cache[V any] struct {
	max int

	mu      sync.Mutex
	entries map[string]*list.Element
	order   *list.List // of *cacheEntry[V], the last used in front
}

type cacheEntry[V any] struct {
	key   string
	value V
}

func newCache[V any](limit int) *cache[V] {
	return &cache[V]{max: limit, entries: map[string]*list.Element{}, order: list.New()}
}

func (c *cache[V]) get(key string) (V, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.entries[key]
	if !ok {
		var none V
		return none, false
	}
	c.order.MoveToFront(e)
	return e.Value.(*cacheEntry[V]).value, true
}

func (c *cache[V]) put(key string, v V) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.entries[key]; ok {
		e.Value.(*cacheEntry[V]).value = v
		c.order.MoveToFront(e)
		return
	}
	c.entries[key] = c.order.PushFront(&cacheEntry[V]{key, v})
	if c.order.Len() > c.max {
		c.remove(c.order.Back())
	}
}

// drop removes the value of key if match says so.
func (c *cache[V]) drop(key string, match func(V) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.entries[key]; ok && match(e.Value.(*cacheEntry[V]).value) {
		c.remove(e)
	}
}

func (c *cache[V]) remove(e *list.Element) {
	c.order.Remove(e)
	delete(c.entries, e.Value.(*cacheEntry[V]).key)
}
