"""The bilevel step of BALMS: class rates by a hypergradient."""
