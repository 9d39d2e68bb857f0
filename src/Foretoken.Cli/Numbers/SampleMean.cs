namespace Foretoken.Cli.Numbers;

/// <summary>A mean, and how sure it is.</summary>
/// <param name="Mean">The mean.</param>
/// <param name="Count">Values that it is the mean of.</param>
/// <param name="Variance">Variance of one value.</param>
/// <param name="Freedom">Degrees of freedom of the variance, at least one.</param>
internal readonly record struct SampleMean(double Mean, int Count, double Variance, int Freedom);
