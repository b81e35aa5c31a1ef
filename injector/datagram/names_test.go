package datagram

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/firedrill-dev/firedrill/injector/message"
)

func TestDatagramNamesMatch(t *testing.T) {
	for _, c := range []struct {
		matches        func(template, name string) bool
		template, name string
		want           bool
	}{
		{matchDomain, "api.example.com", "api.example.com", true},
		{matchDomain, "API.example.com.", "api.EXAMPLE.com", true},
		{matchDomain, "example.com", "api.example.com", false},
		{matchDomain, "*.example.com", "a.b.example.com", true},
		{matchDomain, "*.example.com", "example.com", false},
		{matchDomain, "*.example.com", "badexample.com", false},
		{matchDomain, "{id}.example.com", "x7.example.com", true},
		{matchDomain, "{id}.example.com", "a.x7.example.com", false},
		{matchDotted, "orders.total", "orders.total", true},
		{matchDotted, "orders.total", "orders.total.more", false},
		{matchDotted, "orders.*", "orders.total.more", true},
		{matchDotted, "orders.*", "orders", false},
		{matchDotted, "orders.*", "ordersx", false},
		{matchDotted, "orders.{route}.total", "orders.buy.total", true},
	} {
		assert.Equal(t, c.want, c.matches(c.template, c.name), "%s %s", c.template, c.name)
	}
	for name, want := range map[string]string{
		"api.example.com": "api.example.com", "10.0.0.127.in-addr.arpa": "{id}.{id}.{id}.{id}.in-addr.arpa", "web-7f3a.svc.local": "web-7f3a.svc.local",
		"deadbeef01.example.com": "{id}.example.com", "orders.550e8400-e29b-41d4-a716-446655440000.total": "orders.{id}.total", "": "",
	} {
		assert.Equal(t, want, message.ClassByParts(".")(name), name)
	}
}
