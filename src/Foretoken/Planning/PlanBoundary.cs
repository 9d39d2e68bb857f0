namespace Foretoken.Planning;

/// <summary>A place where tokens leave the prefill.</summary>
/// <param name="Layer">Tokens leave in front of this layer; at least 1.</param>
/// <param name="Retention">Share of the prefill's new tokens that go on, in (0, 1]. It refers to all of them, not to those that arrive.</param>
public readonly record struct PlanBoundary(int Layer, double Retention);
