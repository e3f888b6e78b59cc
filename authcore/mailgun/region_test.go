package mailgun

import "testing"

func TestRegions(t *testing.T) {
	for region, want := range map[string]string{
		"": "https://api.mailgun.net/v3", "us": "https://api.mailgun.net/v3", "eu": "https://api.eu.mailgun.net/v3",
	} {
		s, err := New(Config{Domain: "mg.example.com", APIKey: "k", Region: region})
		if err != nil {
			t.Fatal(err)
		}
		if got := s.client.APIBase(); got != want {
			t.Errorf("region %q: %s", region, got)
		}
	}
}
