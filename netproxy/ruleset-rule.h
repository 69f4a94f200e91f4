/* What the chains' builders share: parts of rules. */
#pragma once
#include "netproxy/ruleset.h"

/* Takes @rule (NULL is -ENOMEM). */
int chain_add_rule(struct ruleset_chain *c, struct nft_rule *rule, const char *purpose);
/* Destination address, protocol and port into registers from @reg on: a Service port's name. */
void rule_service_key(struct nft_rule *r, int family, unsigned reg);
void rule_node_port_key(struct nft_rule *r, unsigned reg);
/* Asks for masquerade. Uses register 0. */
void rule_mark(struct nft_rule *r, const struct ruleset_context *ctx);
/* Matches what the cluster's pods send, or what they do not. Uses register 0. */
void rule_from_pods(struct nft_rule *r, const struct ruleset_context *ctx, bool from_others);
