package api

import "embed"

//go:embed openapi
var openapi embed.FS

// Document returns the OpenAPI 3.1 description of a dialect, in JSON.
func Document(dialect string) ([]byte, bool) {
	data, err := openapi.ReadFile("openapi/" + dialect + ".json")
	return data, err == nil
}
