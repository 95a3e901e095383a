"""Quality of service: policies of rules, and the ports, networks, floating IPs and gateways that follow them."""
